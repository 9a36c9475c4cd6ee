//! A mail as bytes: headers and body in the form that Python's `email` gives them (RFC 5322, 2045, 2047).

/// Of encoded bodies, this many characters stand on a line.
const ENCODED_LINE: usize = 76;

/// A mail of plain text.
pub(super) struct Message<'m> {
    pub(super) subject: &'m str,
    /// Name and address.
    pub(super) from: (&'m str, &'m str),
    pub(super) to: &'m str,
    pub(super) text: &'m str,
}

impl Message<'_> {
    /// Headers and body, with CR LF between lines and no dots doubled yet.
    pub(super) fn bytes(&self, at: jiff::Timestamp) -> Vec<u8> {
        let plain = self.text.is_ascii();
        let (charset, encoding) = if plain { ("us-ascii", "7bit") } else { ("utf-8", "base64") };
        let body = if plain { self.text.to_owned() } else { encoded_body(self.text.as_bytes()) };
        let date = at.strftime("%a, %d %b %Y %H:%M:%S -0000");
        let mut mail = format!(
            "Content-Type: text/plain; charset=\"{charset}\"\nMIME-Version: 1.0\nContent-Transfer-Encoding: {encoding}\n"
        );
        let (name, address) = self.from;
        let from = if name.is_empty() {
            one_line(address)
        } else {
            format!("{} <{}>", named(name), one_line(address))
        };
        for (header, value) in [
            ("Subject", word(self.subject)),
            ("From", from),
            ("To", word(self.to)),
            ("Date", date.to_string()),
        ] {
            // As Python's `smtplib` sends it, no header is folded.
            mail.push_str(&format!("{header}: {value}\n"));
        }
        mail.push('\n');
        mail.push_str(&body);
        let lines: Vec<&str> = mail.split('\n').map(|line| line.trim_end_matches('\r')).collect();
        lines.join("\r\n").into_bytes()
    }
}

/// Nothing that came from outside may begin a header of its own.
fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}

/// A text as it stands in a header.
fn word(text: &str) -> String {
    let text = one_line(text);
    if text.is_ascii() {
        return text;
    }
    // The shorter of the two encodings.
    let quoted = quoted(&text);
    let encoded = base64(text.as_bytes());
    if encoded.len() < quoted.len() {
        format!("=?utf-8?b?{encoded}?=")
    } else {
        format!("=?utf-8?q?{quoted}?=")
    }
}

/// RFC 2047's encoding Q.
fn quoted(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b' ' => out.push('_'),
            b'-' | b'!' | b'*' | b'+' | b'/' => out.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            byte => out.push_str(&format!("={byte:02X}")),
        }
        out
    })
}

/// The name before an address.
fn named(name: &str) -> String {
    let name = one_line(name);
    if !name.is_ascii() {
        return word(&name);
    }
    if name.contains(|c| "][\\()<>@,:;\".".contains(c)) {
        let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
        return format!("\"{escaped}\"");
    }
    name
}

fn encoded_body(bytes: &[u8]) -> String {
    let encoded = base64(bytes);
    let lines =
        encoded.as_bytes().chunks(ENCODED_LINE).map(|line| String::from_utf8_lossy(line).into_owned() + "\n");
    lines.collect()
}

/// RFC 4648
pub(super) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let number = chunk.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = ALPHABET[(number >> (18 - 6 * place)) as usize & 63];
            out.push(if place <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

/// The bytes that base64 stands for; whatever is none of its letters is passed over.
pub(super) fn unbase64(text: &str) -> Vec<u8> {
    let value = |letter: u8| match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits: Vec<u32> = text.bytes().filter_map(value).map(u32::from).collect();
    let mut out = Vec::with_capacity(digits.len());
    for chunk in digits.chunks(4) {
        let number = chunk.iter().fold(0, |number, digit| number << 6 | digit) << (6 * (4 - chunk.len()));
        out.extend_from_slice(&number.to_be_bytes()[1..chunk.len()]);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, encoded) in cases {
            assert_eq!(base64(plain.as_bytes()), encoded);
            assert_eq!(unbase64(encoded), plain.as_bytes());
        }
    }

    #[test]
    fn names_are_quoted_or_encoded_where_they_must_be() {
        assert_eq!(named("Fail2Ban"), "Fail2Ban");
        assert_eq!(named("Fail2Ban, host"), "\"Fail2Ban, host\"");
        assert_eq!(named("Fäil, x"), "=?utf-8?b?RsOkaWwsIHg=?=");
        assert_eq!(named("Wächter"), "=?utf-8?q?W=C3=A4chter?=");
    }

    proptest! {
        #[test]
        fn nobody_writes_a_header_of_his_own(subject in ".{0,200}", name in ".{0,40}", text in "(.|\n){0,200}") {
            let message = Message { subject: &subject, from: (&name, "a\r\nBcc: x"), to: "b\nBcc: y", text: &text };
            let bytes = message.bytes(jiff::Timestamp::UNIX_EPOCH);
            let mail = String::from_utf8_lossy(&bytes).into_owned();
            let head = mail.split("\r\n\r\n").next().unwrap();
            let names: Vec<&str> =
                head.split("\r\n").filter(|line| !line.starts_with(' ')).map(|line| line.split(':').next().unwrap()).collect();
            prop_assert_eq!(names, ["Content-Type", "MIME-Version", "Content-Transfer-Encoding", "Subject", "From", "To", "Date"]);
        }
    }
}
