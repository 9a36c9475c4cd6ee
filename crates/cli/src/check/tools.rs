//! Programs that actions call and this machine does not have, and ports that nobody knows.

use portcullis_config::JailSettings;
use portcullis_config::check::{Problem, Severity};
use portcullis_daemon::act::{nft, preflight};
use portcullis_jail::Family;
use portcullis_jail::action::Action;
use portcullis_value::Value;

use super::Jail;

pub(super) fn look(
    jail: &Jail,
    actions: &[Action],
    settings: &JailSettings,
    path: &preflight::Path,
    problems: &mut Vec<Problem>,
) {
    for action in actions {
        missing(jail, action, settings, path, problems);
        if let Some(Value::Str(ports)) = action.property("port") {
            unknown_ports(jail, &ports, problems);
        }
    }
}

/// The actions as the server would have them.
pub(super) fn actions(jail: &Jail) -> Vec<Action> {
    let properties = jail.commands.iter().filter_map(|words| match words.as_slice() {
        [_, _, what, name, Value::List(pairs)] if what.as_str() == Some("action") => {
            Some((name.as_str()?, pairs))
        }
        _ => None,
    });
    properties
        .map(|(name, pairs)| {
            let mut action = Action::new(name);
            for pair in pairs {
                if let Value::List(pair) = pair
                    && let [name, value] = pair.as_slice()
                    && let Some(name) = name.as_str()
                {
                    action.set(name, value.clone());
                }
            }
            action
        })
        .collect()
}

fn missing(
    jail: &Jail,
    action: &Action,
    settings: &JailSettings,
    path: &preflight::Path,
    problems: &mut Vec<Problem>,
) {
    let known = preflight::recognise(action, Family::Inet4);
    let name = |missing: &preflight::Missing| format!("`{}`", missing.program);
    let native = |missing: &preflight::Missing| {
        let base = missing.program.rsplit('/').next().unwrap_or(&missing.program);
        base == "nft" && settings.nativeactions && known.is_some()
    };
    let mut all = preflight::check(jail.name, action, path);
    // The daemon carries out the words of our own action itself.
    all.retain(|missing| missing.program != nft::GUARD && !native(missing));
    all.sort_by_key(|missing| (!missing.for_bans, missing.program.len()));
    let Some(first) = all.first() else { return };
    let replaced = settings.fallback && known.is_some();
    let severity = match (replaced, first.for_bans) {
        (true, _) => Severity::Note,
        (false, true) => Severity::Error,
        (false, false) => Severity::Warning,
    };
    let (place, remarks) = jail.checked.text_place(jail.name, "action", action.name());
    let names = all.iter().map(name).collect::<Vec<_>>();
    let verb = if names.len() == 1 { "is" } else { "are" };
    let title = format!("{} {verb} not installed", names.join(" and "));
    let label =
        format!("the action `{}` calls {}", action.name(), if names.len() == 1 { "it" } else { "them" });
    let mut problem = Problem::new(severity, "missing-tool", title).at(place, label).noting(remarks);
    if replaced {
        problem = problem.note("until then nftables does the work natively");
    }
    let shown = first.to_string();
    let remedy = shown.rsplit_once("): ").or_else(|| shown.rsplit_once("executable: "));
    problems.push(problem.hint(remedy.map_or(shown.as_str(), |(_, remedy)| remedy)));
}

/// Names of ports that `/etc/services` does not have. Without that file nothing is known.
fn unknown_ports(jail: &Jail, ports: &str, problems: &mut Vec<Problem>) {
    let services = std::fs::read_to_string("/etc/services").ok();
    for port in ports.split([',', ' ', ':', '-']).filter(|port| !port.is_empty()) {
        // A name with a hyphen was taken apart: too little is known of it.
        let number = port.parse::<u32>();
        let wrong = match number {
            Ok(number) => number > 65535,
            Err(_) => {
                !ports.contains('-')
                    && !port.contains(['<', '%', '$'])
                    && services.as_ref().is_some_and(|services| !known_service(services, port))
            }
        };
        if !wrong {
            continue;
        }
        let (place, remarks) = jail.checked.text_place(jail.name, "port", port);
        let title = match number {
            Ok(_) => format!("there is no port {port}"),
            Err(_) => format!("nobody knows a port called `{port}`"),
        };
        problems.push(
            Problem::new(Severity::Error, "unknown-port", title)
                .at(place, if number.is_ok() { "ports end with 65535" } else { "not in /etc/services" })
                .noting(remarks)
                .hint("give its number"),
        );
    }
}

fn known_service(services: &str, name: &str) -> bool {
    services.lines().any(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let first = words.next();
        first == Some(name) || words.skip(1).any(|alias| alias == name)
    })
}
