//! The tags of a ban (`<ip>`, `<matches>`, `<F-USER>`) put into a text, once and for good: a value is never searched again.

use super::info::Info;
use super::script::{Builder, Piece, Script};

/// The first tag at or after `from`: `<`, something without blanks and angles, `>`.
pub(super) fn tag_at(text: &str, from: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let mut open = None;
    for (index, byte) in bytes.iter().enumerate().skip(from) {
        match byte {
            b'<' => open = Some(index),
            b' ' => open = None,
            b'>' => match open.take() {
                Some(begin) if index > begin + 1 => return Some((begin, index + 1)),
                _ => {}
            },
            _ => {}
        }
    }
    None
}

/// The key of a captured value, when the tag is one: `F-USER` is `user`, `F-PORT` is `fport`, `F-ID` is `fid`.
fn captured_key(tag: &str) -> Option<String> {
    let name = tag.strip_prefix("F-")?;
    if name.is_empty()
        || !name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_' || c == '-')
    {
        return None;
    }
    Some(match name {
        "ID" => "fid".into(),
        "PORT" => "fport".into(),
        _ => name.to_ascii_lowercase(),
    })
}

/// The script that `template` becomes with what `info` tells. Unknown tags stay as they are, unknown `<F-…>` become empty.
pub(super) fn fill(template: &str, info: &Info<'_>) -> Script {
    let mut builder = Builder::default();
    let mut pieces = Vec::new();
    let mut from = 0;
    while let Some((begin, end)) = tag_at(template, from) {
        pieces.push(Piece::Text(&template[from..begin]));
        let (whole, tag) = (&template[begin..end], &template[begin + 1..end - 1]);
        pieces.push(match tag {
            "br" => Piece::Text("\n"),
            "sp" => Piece::Text(" "),
            _ => match info.value(tag) {
                Some(value) => builder.piece(tag, value),
                None => Piece::Tag(whole, tag),
            },
        });
        from = end;
    }
    pieces.push(Piece::Text(&template[from..]));
    // Captures come second, so that variables are numbered as Fail2ban numbers them.
    for piece in &mut pieces {
        if let Piece::Tag(_, tag) = *piece
            && let Some(key) = captured_key(tag)
        {
            // Fail2ban's name for the variable has the key: `f2bV_F_user`, `f2bV_F_fport`.
            *piece = builder.piece(&format!("F-{key}"), info.captured(&key).unwrap_or_default());
        }
    }
    builder.script(&pieces)
}
