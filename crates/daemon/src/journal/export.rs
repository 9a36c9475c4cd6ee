//! The journal's export format, as bytes come in.
//!
//! `FIELD=value` lines; where a value is no plain text, `FIELD`, its length as 64 little-endian bits, the value. An empty line
//! ends an entry. (systemd's JOURNAL_EXPORT_FORMATS.)

use super::Entry;

/// Of a value so many bytes are kept; a filter looks at half of that.
const LONGEST_VALUE: usize = 128 * 1024;
/// A field's name is never longer than 64 bytes; what is longer is no export format.
const LONGEST_NAME: usize = 256;

/// Reads entries from pieces of a stream, in memory that does not grow with it.
#[derive(Debug, Default)]
pub struct Export {
    entry: Entry,
    any: bool,
    state: State,
    /// The line, or the value, as far as it came.
    partial: Vec<u8>,
}

#[derive(Debug, Default)]
enum State {
    /// In a line.
    #[default]
    Line,
    /// In the eight bytes of a length; the field's name.
    Length(Vec<u8>),
    /// In a value of that many bytes more.
    Value(Vec<u8>, u64),
    /// At the line feed behind a value.
    End,
}

impl Export {
    /// Takes the next bytes, and appends the entries that they complete.
    ///
    /// # Errors
    /// What is wrong, when this cannot be the export format.
    pub fn feed(&mut self, mut bytes: &[u8], entries: &mut Vec<Entry>) -> Result<(), &'static str> {
        while !bytes.is_empty() {
            bytes = match &mut self.state {
                State::Line => self.line(bytes, entries)?,
                State::Length(_) => self.length(bytes),
                State::Value(..) => self.value(bytes),
                State::End => {
                    if bytes[0] != b'\n' {
                        return Err("a value is not followed by a line feed");
                    }
                    self.state = State::Line;
                    &bytes[1..]
                }
            };
        }
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = (LONGEST_VALUE + LONGEST_NAME).saturating_sub(self.partial.len());
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn line<'b>(&mut self, bytes: &'b [u8], entries: &mut Vec<Entry>) -> Result<&'b [u8], &'static str> {
        let Some(end) = memchr::memchr(b'\n', bytes) else {
            self.keep(bytes);
            return Ok(&[]);
        };
        self.keep(&bytes[..end]);
        let line = std::mem::take(&mut self.partial);
        match memchr::memchr(b'=', &line) {
            Some(at) => {
                self.entry.take(&line[..at], &line[at + 1..]);
                self.any = true;
            }
            None if line.is_empty() => {
                if std::mem::take(&mut self.any) {
                    entries.push(std::mem::take(&mut self.entry));
                }
            }
            None if line.len() > LONGEST_NAME => return Err("a line is neither a field nor a field's name"),
            None => self.state = State::Length(line),
        }
        Ok(&bytes[end + 1..])
    }

    fn length<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let (part, rest) = bytes.split_at(bytes.len().min(8 - self.partial.len()));
        self.keep(part);
        if let (State::Length(name), Ok(length)) = (&mut self.state, <[u8; 8]>::try_from(&self.partial[..])) {
            self.state = State::Value(std::mem::take(name), u64::from_le_bytes(length));
            self.partial.clear();
            // An empty value has no byte that would end it.
            self.ended();
        }
        rest
    }

    fn value<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let State::Value(_, left) = &mut self.state else { return bytes };
        let (part, rest) = bytes.split_at(bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX)));
        *left -= part.len() as u64;
        self.keep(part);
        self.ended();
        rest
    }

    fn ended(&mut self) {
        if let State::Value(name, 0) = &self.state {
            self.entry.take(name, &self.partial);
            self.any = true;
            self.partial.clear();
            self.state = State::End;
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use portcullis_jail::encoding::Encoding;
    use proptest::prelude::*;

    use super::*;

    fn texts(entries: &[Entry]) -> Vec<String> {
        entries.iter().map(|entry| entry.line(Encoding::UTF_8, &TimeZone::UTC).text).collect()
    }

    /// As `journalctl` writes an entry.
    fn written(message: &[u8], plain: bool) -> Vec<u8> {
        let mut out = b"__CURSOR=c\n__REALTIME_TIMESTAMP=7\n_HOSTNAME=h\nMESSAGE".to_vec();
        if plain {
            out.push(b'=');
        } else {
            out.push(b'\n');
            out.extend_from_slice(&(message.len() as u64).to_le_bytes());
        }
        out.extend_from_slice(message);
        out.extend_from_slice(b"\n\n");
        out
    }

    proptest! {
        #[test]
        fn entries_are_read_whatever_pieces_they_come_in(
            messages in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), any::<bool>()), 1..6),
            pieces in prop::collection::vec(1_usize..30, 1..20),
        ) {
            let plain = |(message, plain): &(Vec<u8>, bool)| *plain && !message.contains(&b'\n');
            let stream: Vec<u8> = messages.iter().flat_map(|m| written(&m.0, plain(m))).collect();
            let (mut export, mut entries) = (Export::default(), Vec::new());
            let (mut rest, mut sizes) = (&stream[..], pieces.iter().cycle());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
                export.feed(piece, &mut entries).unwrap();
                rest = after;
            }
            let expected: Vec<String> = messages
                .iter()
                .map(|(message, _)| {
                    let text = String::from_utf8_lossy(message).replace('\n', "\\n");
                    format!("h {text}")
                })
                .collect();
            prop_assert_eq!(texts(&entries), expected);
        }

        #[test]
        fn no_bytes_make_the_reader_panic_or_grow(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
            let mut export = Export::default();
            let _ = export.feed(&bytes, &mut Vec::new());
            prop_assert!(export.partial.len() <= LONGEST_VALUE + LONGEST_NAME);
        }
    }

    #[test]
    fn a_value_without_end_is_cut_and_the_next_entry_is_read() {
        let mut export = Export::default();
        let mut entries = Vec::new();
        for (plain, times) in [(true, 1), (false, 2)] {
            export.feed(&written(&vec![b'x'; 3 * LONGEST_VALUE], plain), &mut entries).unwrap();
            export.feed(&written(b"next", true), &mut entries).unwrap();
            let texts = texts(&entries);
            assert!(texts[2 * times - 2].len() <= LONGEST_VALUE + LONGEST_NAME + 2);
            assert_eq!(texts[2 * times - 1], "h next");
        }
    }
}
