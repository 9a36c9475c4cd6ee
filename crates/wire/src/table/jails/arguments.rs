//! Arguments of a jail's commands that need more than a conversion.

use portcullis_value::{Exception, Number, Value, int, json, options, seconds};

use crate::encodings;
use crate::request::{IgnoreCache, JailGet, JailSet, Late, PythonAction};
use crate::words::{
    Words, address, cased_text, exception, missing_argument, sized_text, strict_text, type_error,
};

type Result<T> = std::result::Result<T, Exception>;

pub(super) fn idle(w: Words<'_>) -> Result<JailSet> {
    match w.at(0)?.as_str() {
        Some("on") => Ok(JailSet::Idle(true)),
        Some("off") => Ok(JailSet::Idle(false)),
        _ => Err(exception("Invalid idle option, must be 'on' or 'off'")),
    }
}

pub(super) fn add_log_path(w: Words<'_>) -> Result<JailSet> {
    let path = path(w.at(0)?);
    if w.has(2) {
        return Err(Exception::builtin("ValueError", "Only one file can be added at a time"));
    }
    let place = w.0.get(1).map(|place| cased_text(place, "lower")).transpose()?;
    let tail = match place.map(|place| place.to_lowercase()).as_deref() {
        None | Some("head") => false,
        Some("tail") => true,
        Some(_) => return Err(Exception::builtin("ValueError", "File option must be 'head' or 'tail'")),
    };
    Ok(JailSet::AddLogPath { path, tail })
}

/// What `open()` takes for a file's name.
fn path(given: &Value) -> Late<String> {
    match given {
        Value::Str(path) if path.contains('\0') => {
            Err(Exception::builtin("ValueError", "embedded null byte"))
        }
        Value::Str(path) => Ok(path.clone()),
        Value::List(_) | Value::Dict(_) | Value::Set(_) => crate::words::text(given),
        // Differs: Python would take a number for an open file of the server's own.
        other => {
            let kind = other.type_name();
            Err(type_error(format!("expected str, bytes or os.PathLike object, not {kind}")))
        }
    }
}

pub(super) fn ignore_cache(w: Words<'_>) -> Result<JailSet> {
    let given = match w.at(0)? {
        Value::Str(given) => given,
        other => {
            let message = format!("can only concatenate str (not \"{}\") to str", other.type_name());
            return Err(type_error(message));
        }
    };
    Ok(JailSet::IgnoreCache(cache(&options::list(given)?)))
}

/// What the parameters mean; the jail is looked for before anybody looks at them.
fn cache(parameters: &[(String, String)]) -> Late<Option<IgnoreCache>> {
    if parameters.is_empty() {
        return Ok(None);
    }
    let value = |name: &str| {
        let found = parameters.iter().rev().find(|(option, _)| option == name);
        found.map(|(_, value)| Value::from(value.as_str()))
    };
    let key = value("key").ok_or_else(|| Exception::builtin("KeyError", "key"))?.to_string();
    let max_count = value("max-count").map_or(Ok(100), |count| int(&count))?;
    let max_time = value("max-time").map_or(Ok(Number::Int(300)), |time| seconds(&time))?;
    Ok(Some(IgnoreCache { key, max_count, max_time }))
}

pub(super) fn ban_time_option(option: &str, w: Words<'_>) -> Result<JailSet> {
    Ok(JailSet::BanTimeOption { option: option.to_owned(), given: w.at(0)?.clone() })
}

pub(super) fn use_dns(w: Words<'_>) -> Result<JailSet> {
    Ok(JailSet::UseDns(match w.at(0)? {
        Value::Bool(truth) => Ok(if *truth { "yes" } else { "no" }.to_owned()),
        given => cased_text(given, "lower").map(|given| given.to_lowercase()),
    }))
}

pub(super) fn max_lines(w: Words<'_>) -> Result<JailSet> {
    let lines = w.int(0)?;
    Ok(JailSet::MaxLines(if lines > 0 {
        Ok(lines)
    } else {
        Err(Exception::builtin("ValueError", "maxlines must be integer greater than zero"))
    }))
}

pub(super) fn attempt(w: Words<'_>) -> Result<JailSet> {
    let Some(ip) = w.0.first() else {
        return Err(type_error("Filter.addAttempt() missing 1 required positional argument: 'ip'"));
    };
    let ip = sized_text(ip)?;
    let lines = address(&ip.as_str().into()).and_then(|_| w.from(1).iter().map(line).collect());
    Ok(JailSet::Attempt { ip, lines })
}

/// A line that comes as a list is its parts in a row.
fn line(given: &Value) -> Result<String> {
    let (Value::List(parts) | Value::Tuple(parts)) = given else { return Ok(given.to_string()) };
    for (index, part) in parts.iter().enumerate() {
        if part.as_str().is_none() {
            let kind = part.type_name();
            return Err(type_error(format!("sequence item {index}: expected str instance, {kind} found")));
        }
    }
    Ok(given.to_string())
}

pub(super) fn unban_ip(w: Words<'_>) -> Result<JailSet> {
    w.at(0)?;
    let is_option = |word: &Value| word.as_str() == Some("--report-absent");
    // It may stand anywhere; but only in front does it have an effect.
    let report_absent = w.0.first().is_some_and(is_option);
    let mut ips = Vec::new();
    w.0.iter().filter(|word| !is_option(word)).try_for_each(|word| flatten(word, &mut ips))?;
    Ok(JailSet::UnbanIp { ips, report_absent })
}

/// Addresses that come as a list are taken one by one.
pub(in crate::table) fn flatten(word: &Value, into: &mut Vec<String>) -> Result<()> {
    match word {
        Value::List(words) | Value::Tuple(words) => words.iter().try_for_each(|word| flatten(word, into)),
        word => sized_text(word).map(|text| into.push(text)),
    }
}

/// A time zone; None is none.
pub(super) fn time_zone(w: Words<'_>) -> Result<JailSet> {
    Ok(JailSet::LogTimeZone(match w.at(0)? {
        Value::None => Ok(None),
        given => strict_text(given).map(Some),
    }))
}

/// The name of an encoding, if Python knows it.
pub(super) fn log_encoding(w: Words<'_>) -> Result<JailSet> {
    let given = w.at(0)?;
    if let Value::Bytes(_) = given {
        return Ok(JailSet::LogEncoding(Err(type_error("lookup() argument must be str, not bytes"))));
    }
    Ok(JailSet::LogEncoding(cased_text(given, "lower").and_then(|name| {
        if name.contains('\0') {
            return Err(Exception::builtin("ValueError", "embedded null character"));
        }
        if name.eq_ignore_ascii_case("auto") || encodings::is_known(&name) {
            return Ok(name);
        }
        Err(Exception::builtin("LookupError", format!("unknown encoding: {name}")))
    })))
}

/// The prefix of expressions; whatever is empty means none.
pub(super) fn prefix(w: Words<'_>) -> Result<Late<String>> {
    let given = w.at(0)?;
    Ok(if given.is_true() { strict_text(given) } else { Ok(String::new()) })
}

/// A pattern of dates; None and no patterns mean none.
pub(super) fn pattern(w: Words<'_>) -> Result<Late<String>> {
    Ok(match w.at(0)? {
        Value::None => Ok(String::new()),
        Value::List(none) | Value::Tuple(none) if none.is_empty() => Ok(String::new()),
        given => strict_text(given),
    })
}

pub(super) fn add_action(w: Words<'_>) -> Result<JailSet> {
    let action = w.text(0)?;
    let arguments = |given: &Value| match given {
        Value::Str(text) => json(text).map(|_| text.clone()),
        other => {
            let kind = other.type_name();
            Err(type_error(format!("the JSON object must be str, bytes or bytearray, not {kind}")))
        }
    };
    let python = match w.0.get(1) {
        Some(path) => Some(PythonAction { json: arguments(w.at(2)?)?, path: path.to_string() }),
        None => None,
    };
    Ok(JailSet::AddAction { action, python })
}

pub(super) fn action(w: Words<'_>) -> Result<JailSet> {
    let action = w.text(0)?;
    Ok(JailSet::Action { action, name: w.at(1).and_then(attribute), value: w.0.get(2).cloned() })
}

pub(super) fn action_property(w: Words<'_>) -> Result<JailGet> {
    let property = attribute(w.0.get(1).ok_or_else(missing_argument)?);
    Ok(JailGet::ActionProperty { action: w.text(0)?, property })
}

fn attribute(name: &Value) -> Late<String> {
    match name {
        Value::Str(name) => Ok(name.clone()),
        other => Err(type_error(format!("attribute name must be string, not '{}'", other.type_name()))),
    }
}

pub(super) fn ban_list(w: Words<'_>) -> JailGet {
    JailGet::BanIp { with_time: w.0.first().and_then(Value::as_str) == Some("--with-time") }
}
