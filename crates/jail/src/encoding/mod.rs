//! How the bytes of a log become text, under Python's names of encodings (`logencoding`, `fail2ban-regex -e`).
//!
//! As in Fail2ban a line is decoded strictly, and if that fails a second time with U+FFFD for what is no text.

mod tables;

use std::borrow::Cow;

use tables::TABLES;

/// An encoding that we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Utf8 {
        signature: bool,
    },
    Ascii,
    Latin1,
    /// By its place in the tables.
    Table(usize),
    Wide(Wide),
    /// Those of East Asia.
    Mixed(&'static encoding_rs::Encoding),
}

/// Units of two or four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wide {
    bytes: usize,
    big: bool,
    /// Whether a byte order mark may say otherwise.
    marked: bool,
}

impl Encoding {
    /// What most logs are written in, and what Fail2ban's `auto` means in any locale of today.
    pub const UTF_8: Encoding = Encoding(Kind::Utf8 { signature: false });

    /// The encoding of that name, in any of the spellings that Python takes. `None` for what is no text encoding, and for those
    /// that logs are not written in (UTF-7, EBCDIC, HZ, ISO-2022).
    pub fn named(name: &str) -> Option<Self> {
        let wide = |bytes, big, marked| Kind::Wide(Wide { bytes, big, marked });
        let name = normalised(name);
        let kind = match name.as_str() {
            "auto" | "utf_8" | "utf8" | "u8" | "utf" | "cp65001" | "utf8_ucs2" | "utf8_ucs4" => {
                Kind::Utf8 { signature: false }
            }
            "utf_8_sig" => Kind::Utf8 { signature: true },
            "ascii" | "646" | "ansi_x3.4_1968" | "ansi_x3_4_1968" | "ansi_x3.4_1986" | "cp367"
            | "csascii" | "ibm367" | "iso646_us" | "iso_646.irv_1991" | "iso_ir_6" | "us" | "us_ascii" => {
                Kind::Ascii
            }
            "latin_1" | "latin1" | "latin" | "l1" | "iso8859_1" | "iso8859" | "iso_8859_1"
            | "iso_8859_1_1987" | "8859" | "cp819" | "csisolatin1" | "ibm819" | "iso_ir_100" => Kind::Latin1,
            "utf_16" | "utf16" | "u16" => wide(2, false, true),
            "utf_16_le" | "utf_16le" | "unicodelittleunmarked" => wide(2, false, false),
            "utf_16_be" | "utf_16be" | "unicodebigunmarked" => wide(2, true, false),
            "utf_32" | "utf32" | "u32" => wide(4, false, true),
            "utf_32_le" | "utf_32le" => wide(4, false, false),
            "utf_32_be" | "utf_32be" => wide(4, true, false),
            "big5" | "big5_tw" | "csbig5" | "x_mac_trad_chinese" | "big5hkscs" | "big5_hkscs" | "hkscs"
            | "cp950" | "950" | "ms950" => Kind::Mixed(encoding_rs::BIG5),
            "shift_jis" | "csshiftjis" | "s_jis" | "shiftjis" | "sjis" | "x_mac_japanese" | "cp932"
            | "932" | "ms932" | "mskanji" | "ms_kanji" | "windows_31j" => Kind::Mixed(encoding_rs::SHIFT_JIS),
            "euc_jp" | "eucjp" | "u_jis" | "ujis" => Kind::Mixed(encoding_rs::EUC_JP),
            "euc_kr" | "euckr" | "korean" | "ks_c_5601" | "ks_c_5601_1987" | "ks_x_1001" | "ksc5601"
            | "ksx1001" | "x_mac_korean" | "cp949" | "949" | "ms949" | "uhc" => {
                Kind::Mixed(encoding_rs::EUC_KR)
            }
            "gbk" | "936" | "cp936" | "ms936" | "gb2312" | "chinese" | "csiso58gb231280" | "euc_cn"
            | "euccn" | "eucgb2312_cn" | "gb2312_1980" | "gb2312_80" | "iso_ir_58" | "x_mac_simp_chinese" => {
                Kind::Mixed(encoding_rs::GBK)
            }
            "gb18030" | "gb18030_2000" => Kind::Mixed(encoding_rs::GB18030),
            other => Kind::Table(TABLES.iter().position(|(names, _)| names.contains(&other))?),
        };
        Some(Encoding(kind))
    }

    /// Whether a character has two bytes or four, so that the byte of a line end may be half of something else.
    pub fn is_wide(&self) -> bool {
        matches!(self.0, Kind::Wide(_))
    }

    /// The text of a line, and whether some of its bytes are none.
    pub fn decode<'b>(&self, bytes: &'b [u8]) -> (Cow<'b, str>, bool) {
        match self.0 {
            Kind::Utf8 { signature } => {
                let bytes =
                    if signature { bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes) } else { bytes };
                // Much the quicker way to the same answer, and nearly always the last.
                if let Ok(text) = std::str::from_utf8(bytes) {
                    return (Cow::Borrowed(text), false);
                }
                let text = String::from_utf8_lossy(bytes);
                let broken = matches!(text, Cow::Owned(_));
                (text, broken)
            }
            Kind::Wide(wide) => wide.decode(bytes),
            Kind::Mixed(encoding) => {
                let (text, broken) = encoding.decode_without_bom_handling(bytes);
                (text, broken)
            }
            Kind::Ascii | Kind::Latin1 | Kind::Table(_) => {
                // The lower half of all of these is ASCII.
                if let Some(text) = std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii()) {
                    return (Cow::Borrowed(text), false);
                }
                let text: String = bytes.iter().map(|byte| self.character(*byte)).collect();
                let broken = text.contains('\u{fffd}');
                (Cow::Owned(text), broken)
            }
        }
    }

    fn character(self, byte: u8) -> char {
        match self.0 {
            _ if byte.is_ascii() => char::from(byte),
            Kind::Latin1 => char::from(byte),
            Kind::Table(at) => {
                let upper = TABLES.get(at).map_or("", |(_, upper)| upper);
                upper.chars().nth(usize::from(byte) - 0x80).unwrap_or('\u{fffd}')
            }
            _ => '\u{fffd}',
        }
    }

    /// Whether a character may be one byte or several, by tables of East Asia's standards.
    pub fn is_mixed(&self) -> bool {
        matches!(self.0, Kind::Mixed(_))
    }

    /// How many bytes a unit has: a line ends at a line feed of that size, at a multiple of it.
    pub fn unit(&self) -> usize {
        if let Kind::Wide(wide) = self.0 { wide.bytes } else { 1 }
    }

    /// How many of the bytes are whole lines.
    pub fn whole_lines(&self, bytes: &[u8]) -> usize {
        let mut whole = 0;
        while let Some(end) = self.line_end(&bytes[whole..]) {
            whole += end;
        }
        whole
    }

    /// Where the first line of `bytes` ends, its line feed included. `bytes` begin at a unit's beginning.
    pub fn line_end(&self, bytes: &[u8]) -> Option<usize> {
        let Kind::Wide(wide) = self.0 else {
            return memchr::memchr(b'\n', bytes).map(|at| at + 1);
        };
        let size = wide.bytes;
        // Whichever end comes first: a mark at the file's beginning may have told the order, and it is not here.
        let is_feed = |unit: &[u8]| {
            let (low, high) = (unit.first() == Some(&b'\n'), unit.last() == Some(&b'\n'));
            let zeros = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
            let (little, big) = (low && zeros(&unit[1..]), high && zeros(&unit[..size - 1]));
            if wide.marked {
                little || big
            } else if wide.big {
                big
            } else {
                little
            }
        };
        bytes.chunks_exact(size).position(is_feed).map(|at| (at + 1) * size)
    }
}

impl Wide {
    fn decode(self, bytes: &[u8]) -> (Cow<'static, str>, bool) {
        let (mut big, mut bytes) = (self.big, bytes);
        if self.marked {
            let mark = |order: &[u8]| bytes.strip_prefix(order);
            let found = if self.bytes == 2 {
                [(mark(b"\xff\xfe"), false), (mark(b"\xfe\xff"), true)]
            } else {
                [(mark(b"\xff\xfe\0\0"), false), (mark(b"\0\0\xfe\xff"), true)]
            };
            if let Some((rest, order)) = found.into_iter().find_map(|(rest, order)| Some((rest?, order))) {
                (bytes, big) = (rest, order);
            }
        }
        let units = bytes.chunks_exact(self.bytes);
        let rest = !units.remainder().is_empty();
        let mut broken = rest;
        let number = |unit: &[u8]| {
            let add = |sum: u32, byte: &u8| sum << 8 | u32::from(*byte);
            if big { unit.iter().fold(0, add) } else { unit.iter().rev().fold(0, add) }
        };
        let mut text: String = if self.bytes == 2 {
            let units = units.map(|unit| number(unit) as u16);
            char::decode_utf16(units).map(|c| c.unwrap_or_else(|_| lost(&mut broken))).collect()
        } else {
            units.map(|unit| char::from_u32(number(unit)).unwrap_or_else(|| lost(&mut broken))).collect()
        };
        if rest {
            text.push('\u{fffd}');
        }
        (Cow::Owned(text), broken)
    }
}

fn lost(broken: &mut bool) -> char {
    *broken = true;
    '\u{fffd}'
}

/// As Python looks a name up: letters small, whatever else than letters, digits and dots is one `_`.
fn normalised(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_ascii_alphanumeric() || c == '.' {
            out.push(c.to_ascii_lowercase());
        } else if !out.ends_with('_') && !out.is_empty() {
            out.push('_');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(name: &str, bytes: &[u8]) -> (String, bool) {
        let (text, broken) = Encoding::named(name).unwrap().decode(bytes);
        (text.into_owned(), broken)
    }

    #[test]
    fn bytes_are_read_as_python_reads_them() {
        // Each as Python's bytes.decode(name, 'replace').
        for (name, bytes, expected) in [
            ("utf-8", &b"fa\xffil"[..], ("fa\u{fffd}il", true)),
            ("UTF-8", b"\xed\xa0\x80", ("\u{fffd}\u{fffd}\u{fffd}", true)),
            ("utf-8-sig", b"\xef\xbb\xbfa", ("a", false)),
            ("utf-8", b"\xef\xbb\xbfa", ("\u{feff}a", false)),
            ("ascii", b"a\xe4", ("a\u{fffd}", true)),
            ("ISO-8859-1", b"a\xe4\x85", ("aä\u{85}", false)),
            ("cp1252", b"\x80\x81", ("€\u{fffd}", true)),
            ("windows-1252", b"\x80", ("€", false)),
            ("koi8-r", b"\xd0\xd2", ("пр", false)),
            ("cp437", b"\x81\xff", ("ü\u{a0}", false)),
            ("gb2312", b"\xc4\xe3", ("你", false)),
            ("euc-jp", b"\xa4\xa2", ("あ", false)),
            ("utf-16-le", b"a\0\xe4\0", ("aä", false)),
            ("utf-16", b"\xfe\xff\0a", ("a", false)),
            ("utf-16", b"a\0b", ("a\u{fffd}", true)),
            ("utf-32-be", b"\0\0\0a", ("a", false)),
        ] {
            assert_eq!(decoded(name, bytes), (expected.0.to_owned(), expected.1), "{name} {bytes:?}");
        }
    }

    #[test]
    fn a_name_is_found_in_any_of_python_s_spellings() {
        for (name, same) in
            [("Latin_1", "l1"), ("ISO 8859-15", "latin9"), ("utf8", "UTF-8"), ("sjis", "shift-jis")]
        {
            assert_eq!(Encoding::named(name), Encoding::named(same), "{name}");
            assert!(Encoding::named(name).is_some(), "{name}");
        }
        for name in ["nope", "base64", "rot13", "", "utf-7"] {
            assert_eq!(Encoding::named(name), None, "{name}");
        }
    }

    #[test]
    fn a_line_ends_at_a_line_feed_of_the_encoding_s_size() {
        let ends = |name: &str, bytes: &[u8]| Encoding::named(name).unwrap().line_end(bytes);
        assert_eq!(ends("utf-8", b"a\nb"), Some(2));
        assert_eq!(ends("utf-16-le", b"\n\x01a\0\n\0b\0"), Some(6));
        assert_eq!(ends("utf-16-be", b"\x01\n\0\nx"), Some(4));
        assert_eq!(ends("utf-16-le", b"a\0\n"), None);
        assert_eq!(ends("utf-32-le", b"a\0\0\0\n\0\0\0"), Some(8));
        assert_eq!(Encoding::named("utf-16-le").unwrap().whole_lines(b"a\0\n\0\n\0b\0\n"), 6);
    }
}
