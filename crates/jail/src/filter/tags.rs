//! Fail2ban's tags in a regex: `<HOST>`, `<F-USER>…</F-USER>`, `<SKIPLINES>`. They become Python's named groups.
//!
//! The expanded texts are shown to users (`fail2ban-client get JAIL failregex`, error messages), so they are Fail2ban's
//! to the letter.

const IP4: &str = r"(?:::f{4,6}:)?(?P<ip4>(?:\d{1,3}\.){3}\d{1,3})";
const IP6: &str = r"(?P<ip6>(?:[0-9a-fA-F]{1,4}::?|::){1,7}(?:[0-9a-fA-F]{1,4}|(?<=:):))";
const DNS: &str = r"(?P<dns>[\w\-.^_]*\w)";
const CIDR: &str = r"(?P<cidr>\d+)";

/// Writes out all tags of a regex. Without names (`usedns = no`), `<HOST>` is an address only.
pub(super) fn expand(regex: &str, names: bool) -> String {
    let mut out = String::with_capacity(regex.len() * 2);
    let mut opened: Vec<&str> = Vec::new();
    let mut skips = 0;
    let mut rest = regex;
    while let Some(start) = rest.find('<') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let Some(end) = rest.find('>') else { break };
        let tag = &rest[1..end];
        // A `<` that opens no tag may stand before one that does: `(?P<x<HOST>`.
        if let Some(inner) = tag.rfind('<') {
            out.push_str(&rest[..=inner]);
            rest = &rest[inner + 1..];
            continue;
        }
        rest = &rest[end + 1..];
        if tag == "SKIPLINES" {
            out.push_str(&format!(r"\n(?P<skiplines{skips}>(?:(?:.*\n)*?))"));
            skips += 1;
        } else if let Some(text) = whole(tag, names) {
            out.push_str(&text);
        } else if let Some(name) = capture_name(tag) {
            opened.push(name);
            out.push_str(&format!("(?P<{}>", group_name(name)));
        } else if tag.strip_prefix('/').and_then(capture_name).is_some_and(|name| opened.contains(&name)) {
            out.push(')');
        } else {
            out.push_str(&format!("<{tag}>"));
        }
    }
    out.push_str(rest);
    scoped_flags(&out)
}

/// Tags that stand for a whole pattern.
fn whole(tag: &str, names: bool) -> Option<String> {
    let addresses = || format!("(?:{IP4}|{IP6})");
    let host = || format!(r"\[?{}\]?", addresses());
    Some(match tag {
        "HOST" if names => format!("(?:{}|{DNS})", host()),
        "HOST" | "ADDR" | "F-ADDR/" => host(),
        "IP4" | "F-IP4/" => IP4.into(),
        "IP6" | "F-IP6/" => IP6.into(),
        "DNS" | "F-DNS/" => DNS.into(),
        "CIDR" | "F-CIDR/" => CIDR.into(),
        "SUBNET" | "F-SUBNET/" => format!(r"\[?{}(?:/{CIDR})?\]?", addresses()),
        "F-ID/" => r"(?P<fid>\S+)".into(),
        "F-PORT/" => r"(?P<fport>\w+)".into(),
        _ => return None,
    })
}

/// A regex whose tags were written out, with the tags of addresses put back: for people.
pub fn written(regex: &str) -> String {
    let mut text = regex.to_owned();
    for tag in ["HOST", "SUBNET", "ADDR", "DNS"] {
        text = text.replace(&whole(tag, true).unwrap_or_default(), &format!("<{tag}>"));
    }
    text.replace(&format!("(?:{IP4}|{IP6})"), "<ADDR>").replace(IP4, "<IP4>").replace(IP6, "<IP6>")
}

/// `USER` of `F-USER`.
fn capture_name(tag: &str) -> Option<&str> {
    let name = tag.strip_prefix("F-")?;
    let fits = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    (!name.is_empty() && name.bytes().all(fits)).then_some(name)
}

fn group_name(name: &str) -> String {
    match name {
        "ID" => "fid".into(),
        "PORT" => "fport".into(),
        name => name.to_ascii_lowercase(),
    }
}

/// `(?:(?i)abc)` and `((?i)abc)` become `(?i:abc)`: Python refuses global flags inside a pattern.
fn scoped_flags(regex: &str) -> String {
    let mut out = String::with_capacity(regex.len());
    let mut rest = regex;
    while let Some(start) = rest.find('(') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let inner = rest.strip_prefix("(?:").unwrap_or(&rest[1..]);
        let flags = inner.strip_prefix("(?").and_then(|flags| flags.split_once(')')).filter(|(flags, _)| {
            !flags.is_empty() && flags.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        });
        let (written, after) = match flags {
            Some((flags, after)) => (format!("(?{flags}:"), after),
            None => ("(".to_owned(), &rest[1..]),
        };
        out.push_str(&written);
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn tags_become_named_groups() {
        for (regex, expanded) in [
            ("<F-USER>x</F-USER>", "(?P<user>x)"),
            ("<F-A>x</F-A>y</F-A>", "(?P<a>x)y)"),
            ("<F-A>x</F-B>", "(?P<a>x</F-B>"),
            ("<F-a>x</F-a><F-A/></F-C><ID>", "<F-a>x</F-a><F-A/></F-C><ID>"),
            (
                "a<SKIPLINES>b<SKIPLINES>",
                r"a\n(?P<skiplines0>(?:(?:.*\n)*?))b\n(?P<skiplines1>(?:(?:.*\n)*?))",
            ),
            ("<F-ID/> <F-PORT>1</F-PORT>", r"(?P<fid>\S+) (?P<fport>1)"),
            ("(?:(?i)a) ((?is)b) (?P<x>(?i)c)", "(?i:a) (?is:b) (?P<x>(?i)c)"),
            (r"\<<DNS>>", r"\<(?P<dns>[\w\-.^_]*\w)>"),
            ("(?P<n><DNS>)", r"(?P<n>(?P<dns>[\w\-.^_]*\w))"),
        ] {
            assert_eq!(expand(regex, true), expanded, "{regex}");
        }
    }
}
