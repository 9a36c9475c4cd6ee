//! Rules of iptables before the jail's own that let a banned address pass.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::act::sockets::Guarded;

/// The first rule of a listing (`iptables -S CHAIN`) that accepts packets of `from` to the guarded ports before the rule
/// that leads to the bans (the one with `own` among its words). Rules with conditions that nobody here knows are passed over:
/// what is said must be true.
pub(super) fn accepting<'l>(listing: &'l str, own: &str, from: IpAddr, guarded: &Guarded) -> Option<&'l str> {
    listing
        .lines()
        .filter(|line| line.starts_with("-A "))
        .take_while(|line| !line.split(' ').any(|word| word == own))
        .find(|line| accepts(line, from, guarded))
}

fn accepts(line: &str, from: IpAddr, guarded: &Guarded) -> bool {
    let mut words = line.split(' ').skip(2);
    let mut verdict = false;
    while let Some(word) = words.next() {
        let holds = match word {
            "-j" => {
                verdict = words.next() == Some("ACCEPT");
                verdict
            }
            "-s" => {
                words.next().and_then(|net| net.parse::<IpNet>().ok()).is_some_and(|net| net.contains(&from))
            }
            "-p" => matches!(words.next(), Some("tcp" | "udp" | "all")),
            "--dport" | "--dports" => words.next().is_some_and(|ports| meets(ports, guarded)),
            "--ctstate" | "--state" => words
                .next()
                .is_some_and(|states| states.split(',').any(|state| matches!(state, "ESTABLISHED" | "NEW"))),
            "-m" => {
                matches!(words.next(), Some("conntrack" | "state" | "tcp" | "udp" | "multiport" | "comment"))
            }
            "--comment" => {
                // One word, or several within quotes.
                let first = words.next().unwrap_or_default();
                if first.starts_with('"') && !(first.len() > 1 && first.ends_with('"')) {
                    let _ = words.by_ref().find(|word| word.ends_with('"') && !word.ends_with("\\\""));
                }
                true
            }
            _ => false,
        };
        if !holds {
            return false;
        }
    }
    verdict
}

/// Whether one of these ports (`22,80,8000:8010`) is guarded.
fn meets(ports: &str, guarded: &Guarded) -> bool {
    ports.split(',').any(|range| {
        let (first, last) = range.split_once(':').unwrap_or((range, range));
        let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else { return false };
        guarded.ports.is_empty() || guarded.ports.iter().any(|(low, high)| first <= *high && *low <= last)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rules: &[&str]) -> Option<String> {
        let listing = format!("-P INPUT ACCEPT\n{}\n", rules.join("\n"));
        let guarded = Guarded { protocols: vec![6], ports: vec![(22, 22)] };
        accepting(&listing, "f2b-sshd", "192.0.2.66".parse().unwrap(), &guarded).map(str::to_owned)
    }

    const OURS: &str = "-A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd";

    #[test]
    fn a_rule_that_accepts_before_ours_is_found() {
        for rule in [
            "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "-A INPUT -m state --state ESTABLISHED -j ACCEPT",
            "-A INPUT -j ACCEPT",
            "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT",
            "-A INPUT -s 192.0.2.0/24 -p tcp -m multiport --dports 80,20:25 -m comment --comment \"let them in\" -j ACCEPT",
        ] {
            assert_eq!(found(&[rule, OURS]).as_deref(), Some(rule));
            assert_eq!(found(&[OURS, rule]), None, "behind ours it does no harm: {rule}");
        }
    }

    #[test]
    fn rules_that_do_not_concern_the_banned_are_passed_over() {
        for rule in [
            "-A INPUT -i lo -j ACCEPT",
            "-A INPUT -s 198.51.100.0/24 -j ACCEPT",
            "-A INPUT ! -s 198.51.100.0/24 -j ACCEPT",
            "-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT",
            "-A INPUT -p icmp -j ACCEPT",
            "-A INPUT -m set --match-set friends src -j ACCEPT",
            "-A INPUT -m conntrack --ctstate INVALID -j DROP",
            "-A INPUT -j LOG",
        ] {
            assert_eq!(found(&[rule, OURS]), None, "{rule}");
        }
    }
}
