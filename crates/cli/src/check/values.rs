//! Values of a jail: times that are none, addresses that mean too many, growing ban times.

use ipnet::IpNet;
use portcullis_config::check::{Problem, Severity};
use portcullis_jail::ban::Increment;
use portcullis_value::{Value, seconds};

use super::Jail;

/// So many bans of one offender are looked at.
const BANS: u32 = 64;
/// So many odd words of one `ignoreip` are told.
const MOST_ADDRESSES: usize = 20;
/// Seconds of a hundred years: nobody means to ban for longer, but for ever.
const CENTURY: f64 = 100.0 * 365.25 * 86400.0;

pub(super) fn look(jail: &Jail, problems: &mut Vec<Problem>) {
    for option in ["findtime", "bantime"] {
        if let Some([value]) = jail.set(option).last()
            && seconds(value).is_err()
        {
            problems.push(no_time(jail, option, value));
        }
    }
    for words in jail.set("addignoreip") {
        let odd = words.iter().filter_map(Value::as_str).filter_map(|word| ignored(jail, word));
        problems.extend(odd.take(MOST_ADDRESSES));
    }
    problems.extend(ladder(jail));
}

fn no_time(jail: &Jail, option: &str, value: &Value) -> Problem {
    let text = value.as_str().unwrap_or_default();
    let (place, remarks) = jail.checked.text_place(jail.name, option, text);
    Problem::new(Severity::Error, "no-time", format!("`{option}` of jail `{}` is no time", jail.name))
        .at(place, "expected seconds, or units as in `1d 12h`")
        .noting(remarks)
}

/// What is odd about a word of `ignoreip`.
fn ignored(jail: &Jail, word: &str) -> Option<Problem> {
    let problem = |code, title: String, label: String| {
        let (place, remarks) = jail.checked.text_place(jail.name, "ignoreip", word);
        Problem::new(Severity::Warning, code, title).at(place, label).noting(remarks)
    };
    let Ok(net) = word.parse::<IpNet>() else {
        let numeric =
            word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '/'));
        let number = numeric && word.parse::<std::net::IpAddr>().is_err() && !word.contains("/255.");
        return number.then(|| {
            let title = format!("`{word}` is no address");
            problem("no-address", title, "taken for a host's name, which nobody has".into())
                .hint("write four numbers up to 255, and a prefix up to `/32`")
        });
    };
    let shortest = if net.addr().is_ipv4() { 8 } else { 16 };
    if net.prefix_len() < shortest {
        let title = format!("`ignoreip` of jail `{}` excludes much of the world", jail.name);
        let label = match net {
            IpNet::V4(net) => format!("{} addresses are never banned", 1_u64 << (32 - net.prefix_len())),
            IpNet::V6(net) => {
                format!("one in {} of all addresses is never banned", 1_u64 << net.prefix_len())
            }
        };
        return Some(problem("wide-ignoreip", title, label).hint("name the networks that you trust"));
    }
    // `127.0.0.1/8` is how everybody writes it.
    if net.addr() != net.network() && !net.addr().is_loopback() {
        let title = format!("the prefix of `{word}` cuts off part of its address");
        let label = format!("means all of {}/{}", net.network(), net.prefix_len());
        let hint = format!("write `{}` or `{}/{}`", net.addr(), net.network(), net.prefix_len());
        return Some(problem("host-bits", title, label).hint(hint));
    }
    None
}

/// Ban times that grow beyond what can be computed, or meant.
fn ladder(jail: &Jail) -> Option<Problem> {
    let mut increment = Increment::default();
    for option in ["increment", "factor", "formula", "multipliers", "maxtime", "rndtime"] {
        let name = format!("bantime.{option}");
        let Some([value]) = jail.set(&name).last() else { continue };
        if let Err(error) = increment.set(option, value) {
            let (place, remarks) =
                jail.checked.text_place(jail.name, &name, value.as_str().unwrap_or_default());
            let title = format!("`{name}` of jail `{}` cannot be used", jail.name);
            return Some(
                Problem::new(Severity::Error, "ban-ladder", title)
                    .at(place, error.to_string())
                    .noting(remarks),
            );
        }
    }
    let base = jail.set("bantime").last().and_then(|words| seconds(words.first()?).ok())?;
    if !increment.is_on() || base.as_f64() <= 0.0 {
        return None;
    }
    let mut steps: Vec<f64> = Vec::new();
    let mut wrong = None;
    for count in 0..BANS {
        match increment.bantime(base, count, 0.0) {
            Ok(time) if time.as_f64() > CENTURY => {
                steps.push(time.as_f64());
                wrong = Some(format!("the {} ban is for more than a hundred years", ordinal(count + 1)));
            }
            Ok(time) => steps.push(time.as_f64()),
            Err(error) => wrong = Some(format!("the {} ban cannot be computed: {error}", ordinal(count + 1))),
        }
        if wrong.is_some() {
            break;
        }
    }
    let option = ["formula", "multipliers", "factor", "increment"]
        .into_iter()
        .map(|option| format!("bantime.{option}"))
        .find(|option| jail.set(option).last().is_some())?;
    let place = jail.checked.option_place(jail.name, &option);
    let title = format!("ban times of jail `{}` grow beyond all bounds", jail.name);
    Some(
        Problem::new(Severity::Warning, "ban-ladder", title)
            .at(place, wrong?)
            .note(format!("the ladder: {}", shown(&steps)))
            .hint("set `bantime.maxtime`, such as `5w`"),
    )
}

fn ordinal(count: u32) -> String {
    let end = match (count % 10, count % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{count}{end}")
}

/// `10m, 20m, 40m … 1w`
fn shown(steps: &[f64]) -> String {
    let words: Vec<String> = steps.iter().map(|seconds| in_units(*seconds)).collect();
    match words.as_slice() {
        [first, second, third, .., last] if words.len() > 4 => format!("{first}, {second}, {third} … {last}"),
        few => few.join(", "),
    }
}

/// Seconds in their largest whole unit, or the largest unit with one digit behind the point.
fn in_units(seconds: f64) -> String {
    const UNITS: [(f64, &str); 6] =
        [(31_557_600.0, "y"), (604_800.0, "w"), (86_400.0, "d"), (3600.0, "h"), (60.0, "m"), (1.0, "s")];
    let (unit, name) = UNITS.into_iter().find(|(unit, _)| seconds >= *unit).unwrap_or((1.0, "s"));
    let count = (seconds / unit * 10.0).round() / 10.0;
    format!("{count}{name}")
}
