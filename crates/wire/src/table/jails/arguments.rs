//! Arguments of a jail's commands that need more than a conversion.

use portcullis_value::{Exception, Number, Value, int, options, seconds};

use crate::encodings;
use crate::request::{IgnoreCache, JailGet, JailSet, Late, PythonAction};
use crate::words::{Words, cased_text, exception, sized_text, strict_text, type_error};

type Result<T> = std::result::Result<T, Exception>;

pub(super) fn idle(w: Words<'_>) -> Result<JailSet> {
    match w.at(0)?.as_str() {
        Some("on") => Ok(JailSet::Idle(true)),
        Some("off") => Ok(JailSet::Idle(false)),
        _ => Err(exception("Invalid idle option, must be 'on' or 'off'")),
    }
}

pub(super) fn add_log_path(w: Words<'_>) -> Result<JailSet> {
    let path = w.text(0)?;
    if w.has(2) {
        return Err(Exception::builtin("ValueError", "Only one file can be added at a time"));
    }
    let tail = match w.0.get(1).map(|place| place.to_string().to_lowercase()).as_deref() {
        None | Some("head") => false,
        Some("tail") => true,
        Some(_) => return Err(Exception::builtin("ValueError", "File option must be 'head' or 'tail'")),
    };
    Ok(JailSet::AddLogPath { path, tail })
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
    let lines = w.from(1).iter().map(Value::to_string).collect();
    Ok(JailSet::Attempt { ip: sized_text(ip)?, lines })
}

pub(super) fn unban_ip(w: Words<'_>) -> Result<JailSet> {
    w.at(0)?;
    let is_option = |word: &Value| word.as_str() == Some("--report-absent");
    // It may stand anywhere; but only in front does it have an effect.
    let report_absent = w.0.first().is_some_and(is_option);
    let ips = w.0.iter().filter(|word| !is_option(word)).map(sized_text).collect::<Result<_>>()?;
    Ok(JailSet::UnbanIp { ips, report_absent })
}

/// The name of an encoding, if Python knows it.
pub(super) fn log_encoding(w: Words<'_>) -> Result<JailSet> {
    let name = cased_text(w.at(0)?, "lower");
    Ok(JailSet::LogEncoding(name.and_then(|name| {
        if name.eq_ignore_ascii_case("auto") || encodings::is_known(&name) {
            return Ok(name);
        }
        Err(Exception::builtin("LookupError", format!("unknown encoding: {name}")))
    })))
}

/// A pattern; None means none.
pub(super) fn pattern(w: Words<'_>) -> Result<Late<String>> {
    Ok(match w.at(0)? {
        Value::None => Ok(String::new()),
        given => strict_text(given),
    })
}

pub(super) fn add_action(w: Words<'_>) -> Result<JailSet> {
    let action = w.text(0)?;
    let python =
        if w.has(1) { Some(PythonAction { path: w.text(1)?, json: w.strict_text(2)? }) } else { None };
    Ok(JailSet::AddAction { action, python })
}

pub(super) fn action(w: Words<'_>) -> Result<JailSet> {
    let action = w.text(0)?;
    let name = w.at(1).and_then(|name| match name {
        Value::Str(name) => Ok(name.clone()),
        other => Err(type_error(format!("attribute name must be string, not '{}'", other.type_name()))),
    });
    Ok(JailSet::Action { action, name, value: w.0.get(2).cloned() })
}

pub(super) fn ban_list(w: Words<'_>) -> JailGet {
    JailGet::BanIp { with_time: w.0.first().and_then(Value::as_str) == Some("--with-time") }
}
