//! One failure as `-o` shows it: a row, one of its values, or a text with tags.

use portcullis_jail::failure::{Failure, MatchedLine};
use portcullis_jail::filter::Hit;
use portcullis_jail::{Id, Timestamp};
use portcullis_value::Value;

/// A failure with all that may be asked of it.
pub(super) struct Row<'v> {
    pub(super) hit: &'v Hit,
    pub(super) failure: &'v Failure,
    pub(super) time: Time,
}

/// A time as Python prints it.
#[derive(Clone, Copy)]
pub(super) struct Time {
    pub(super) at: Timestamp,
    pub(super) integer: bool,
    /// It is only the time now: the line has none.
    pub(super) missing: bool,
}

impl Time {
    fn value(self) -> Value {
        if self.integer { Value::Int(self.at.0 as i64) } else { Value::Float(self.at.0) }
    }
}

impl Row<'_> {
    /// What `-o OUT` prints of the failure; where a text with tags asks for the line, once for each.
    pub(super) fn texts(&self, out: &str) -> Vec<String> {
        if out.contains("<msg>") && self.failure.matches.len() > 1 {
            return self.failure.matches.iter().map(|line| self.tagged(out, &line.line())).collect();
        }
        vec![self.text(out)]
    }

    fn text(&self, out: &str) -> String {
        match out {
            "row" => self.whole(),
            "id" | "fid" => self.failure.id.text().to_owned(),
            "ip" => self.address().text().to_owned(),
            "msg" => self.message(),
            "matches" => self.matches().repr(),
            tags if tags.contains('<') => self.tagged(tags, &self.message()),
            group => self.hit.data.get(group).unwrap_or(&Value::None).to_string(),
        }
    }

    fn whole(&self) -> String {
        let data = self.hit.data.iter().map(|(name, value)| (Value::from(name), value.clone())).collect();
        let id = match self.hit.data.get("fid") {
            Some(tuple @ Value::Tuple(_)) => tuple.clone(),
            _ => Value::from(self.failure.id.text()),
        };
        let time = if self.time.missing { Value::None } else { self.time.value() };
        format!("[{},\t{},\t{}],", id.repr(), time.repr(), Value::Dict(data).repr())
    }

    fn address(&self) -> &Id {
        self.failure.ip.as_ref().unwrap_or(&self.failure.id)
    }

    fn message(&self) -> String {
        self.failure.matches.iter().map(MatchedLine::line).collect::<Vec<_>>().join("\n")
    }

    fn matches(&self) -> Value {
        let parts = |line: &MatchedLine| {
            Value::Tuple(vec![
                line.before.as_str().into(),
                line.date.as_str().into(),
                line.after.as_str().into(),
            ])
        };
        Value::List(self.failure.matches.iter().map(parts).collect())
    }

    /// `text` with its known tags replaced, once. `line` is what `<msg>` stands for.
    fn tagged(&self, text: &str, line: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(open) = rest.find('<') {
            out.push_str(&rest[..open]);
            rest = &rest[open..];
            let tag = rest[1..].find(['<', '>']).map(|end| &rest[1..=end]);
            match tag
                .filter(|tag| rest[1 + tag.len()..].starts_with('>'))
                .and_then(|tag| Some((tag, self.tag(tag, line)?)))
            {
                Some((tag, value)) => {
                    // As Fail2ban's actions get it, for a shell can't be told of a NUL. The line is put in elsewhere.
                    out.push_str(&if tag == "msg" { value } else { value.replace('\0', "\\x00") });
                    rest = &rest[tag.len() + 2..];
                }
                None => {
                    out.push('<');
                    rest = &rest[1..];
                }
            }
        }
        out.push_str(rest);
        out
    }

    fn tag(&self, tag: &str, line: &str) -> Option<String> {
        if let Some(key) = captured_key(tag) {
            let value = self.hit.data.get(&key);
            return Some(
                value.filter(|value| **value != Value::None).map(Value::to_string).unwrap_or_default(),
            );
        }
        let address = self.address();
        Some(match tag {
            "ip" => address.text().to_owned(),
            "fid" => self.failure.id.text().to_owned(),
            "time" => self.time.value().to_string(),
            "msg" => line.to_owned(),
            "matches" => self.message(),
            "family" => address.family().map_or("None", |family| family.name()).to_owned(),
            "ip-rev" => reversed(address).unwrap_or_default(),
            "ip-host" => "None".to_owned(),
            "failures" => "0".to_owned(),
            _ => return None,
        })
    }
}

/// The key of a captured value: `F-USER` is `user`, `F-ID` is `fid`, `F-PORT` is `fport`.
fn captured_key(tag: &str) -> Option<String> {
    let name = tag.strip_prefix("F-").filter(|name| !name.is_empty())?;
    let fits = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_' || c == '-';
    name.chars().all(fits).then(|| match name {
        "ID" => "fid".into(),
        "PORT" => "fport".into(),
        _ => name.to_ascii_lowercase(),
    })
}

/// The name under which an address is looked up, without its zone.
fn reversed(id: &Id) -> Option<String> {
    Some(match id.address()? {
        std::net::IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.")
        }
        std::net::IpAddr::V6(v6) => {
            let digits = v6.octets().into_iter().rev().flat_map(|b| [b & 15, b >> 4]);
            digits.map(|d| format!("{d:x}.")).collect()
        }
    })
}
