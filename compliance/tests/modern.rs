//! Our own commands as somebody at a terminal, and a program that reads their JSON, meets them: against a real server on a host
//! of its own, with the kernel as the judge. Fail2ban has no such commands; where it meets what they leave (the database), it is asked.

// Helpers of tests are outside `#[test]` functions, where clippy looks for what tests may do.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::File;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use portcullis_compliance::{Hosts, Output, Peer, Signal, Who, wait_for, wrong_password};
use serde_json::Value as Json;

mod modern {
    mod schema;
    mod screen;
}

const JAIL: &str = "[gate]
enabled = true
filter = dropbear
port = 2222
backend = polling
logpath = @DIR@/auth.log
ignoreself = false
bantime = 600
";

/// How long anything may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Our server on a host of its own, with this action; not started.
fn guarded(banaction: &str) -> Option<(Hosts, Peer)> {
    let (hosts, peer) = Peer::guarding()?;
    peer.write("auth.log", "");
    peer.write("conf/jail.local", &format!("{JAIL}banaction = {banaction}\n"));
    Some((hosts, peer))
}

/// An action whose commands are these, instead of a firewall.
fn with_action(peer: &Peer, actionban: &str) {
    peer.write(
        "conf/action.d/own.conf",
        &format!("[Definition]\nactionban = {actionban}\nactionunban = true\n"),
    );
    peer.write("conf/jail.local", &format!("{JAIL}action = own\n"));
}

/// Runs one of our commands.
fn ours(peer: &Peer, words: &[&str]) -> Output {
    peer.run("portcullis", &[words, &["-c", "@DIR@/conf", "-s", "@DIR@/f2b.sock"]].concat())
}

/// Runs one of our commands with `--json` and reads what it prints.
fn json(peer: &Peer, words: &[&str]) -> Json {
    let output = ours(peer, &[words, &["--json"]].concat());
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{words:?}: {error}\n{output}"))
}

/// Starts one of our commands, its standard output in this file.
fn spawned(peer: &Peer, words: &[&str], file: &str) -> Child {
    let words = [words, &["-c", "@DIR@/conf", "-s", "@DIR@/f2b.sock"]].concat();
    let mut command = peer.command("portcullis", &words);
    command.stdin(Stdio::null()).stdout(File::create(peer.path(file)).unwrap());
    command.stderr(File::create(peer.path("stderr.log")).unwrap()).spawn().unwrap()
}

/// What the kernel has.
fn kernel(hosts: &Hosts) -> String {
    hosts.server.sh("iptables -S; ip6tables -S; nft list ruleset")
}

/// Waits until a file has this text.
fn wait_file(peer: &Peer, file: &str, text: &str) -> String {
    let came = wait_for(PATIENCE, || Some(peer.read(file)).filter(|read| read.contains(text)));
    came.unwrap_or_else(|| panic!("no `{text}` in\n{}\nlog:\n{}", peer.read(file), peer.log()))
}

#[test]
fn a_ban_by_hand_is_in_the_kernel_as_long_as_it_lasts() {
    let Some((hosts, mut peer)) = guarded("iptables-multiport") else { return };
    peer.start();
    let whom = ["192.0.2.66", "198.51.100.9/24", "2001:db8::66"];
    let banned = ours(&peer, &[&["ban"], &whom[..], &["--for", "1d"]].concat());
    assert_eq!(banned.status, 0, "{banned}");
    assert_eq!(banned.stdout.matches("banned, ends in 1d, enforced").count(), 3, "{banned}");
    let rules = kernel(&hosts);
    for address in ["192.0.2.66", "198.51.100.0/24", "2001:db8::66"] {
        assert!(rules.contains(address), "no {address} in\n{rules}");
    }
    let told = ours(&peer, &["banned", "198.51.100.77"]);
    assert!(told.status == 0 && told.stdout.contains("of 198.51.100.0/24"), "{told}");
    let lifted = ours(&peer, &["unban", "192.0.2.66", "2001:DB8::66"]);
    assert_eq!(lifted.status, 0, "{lifted}");
    let rules = kernel(&hosts);
    assert!(!rules.contains("192.0.2.66") && rules.contains("198.51.100.0/24"), "{rules}");
    let again = ours(&peer, &["unban", "192.0.2.66"]);
    assert_eq!(again.status, 1, "{again}");
    assert_eq!(ours(&peer, &["banned", "192.0.2.66"]).status, 1);
    assert_eq!(json(&peer, &["unban", "--all"])["lifted"], 1);
    assert!(ours(&peer, &["banned"]).stdout.starts_with("Nobody is banned"));
    peer.stop();
}

#[test]
fn time_and_reason_of_a_ban_survive_a_kill() {
    let Some((_hosts, mut peer)) = guarded("nftables-multiport") else { return };
    peer.start();
    let banned = ours(&peer, &["ban", "192.0.2.66", "2001:db8::66", "--for", "1d", "--why", "ticket 4711"]);
    assert_eq!(banned.status, 0, "{banned}");
    // Written before anybody kills.
    let kept = wait_for(PATIENCE, || {
        (json(&peer, &["banned", "2001:db8::66"])["addresses"][0]["recorded_bans"] == 1).then_some(())
    });
    assert!(kept.is_some(), "not recorded\n{}", peer.log());
    peer.signal(Signal::KILL);
    peer.ended();
    peer.start();
    peer.wait_log_times("Restore Ban", 2);
    for address in ["192.0.2.66", "2001:db8::66"] {
        let known = &json(&peer, &["banned", address])["addresses"][0];
        assert_eq!(known["banned"], true, "{known}");
        let ban = &known["bans"][0];
        assert_eq!((&ban["why"], &ban["restored"]), (&"ticket 4711".into(), &true.into()), "{ban}");
        // Longer than the jail bans, which is ten minutes.
        let lasts = ban["end"].as_f64().unwrap() - ban["begin"].as_f64().unwrap();
        assert!((86_300.0..86_500.0).contains(&lasts), "{lasts}");
    }
    peer.stop();
}

#[test]
fn a_ban_that_is_there_gets_another_time_and_reason() {
    let Some((_hosts, mut peer)) = guarded("nftables-multiport") else { return };
    peer.start();
    ours(&peer, &["ban", "192.0.2.66"]);
    let again = ours(&peer, &["ban", "192.0.2.66"]);
    assert!(again.status == 0 && again.stdout.contains("banned already, ends in 10m"), "{again}");
    let longer = ours(&peer, &["ban", "192.0.2.66", "--for", "2h", "--why", "still at it"]);
    assert!(longer.status == 0 && longer.stdout.contains("changed, ends in 2h"), "{longer}");
    let ban = &json(&peer, &["banned", "192.0.2.66"])["addresses"][0]["bans"][0];
    assert_eq!((&ban["why"], &ban["enforcement"]), (&"still at it".into(), &"enforced".into()), "{ban}");
    let shorter = ours(&peer, &["ban", "192.0.2.66", "--for", "2"]);
    assert_eq!(shorter.status, 0, "{shorter}");
    peer.wait_log("Unban 192.0.2.66");
    let forever = ours(&peer, &["ban", "192.0.2.66", "--for", "forever"]);
    assert!(forever.stdout.contains("for ever"), "{forever}");
    peer.stop();
}

#[test]
fn fail2ban_goes_on_with_a_ban_that_has_a_reason() {
    let Some((_hosts, mut peer)) = guarded("nftables-multiport") else { return };
    peer.start();
    ours(&peer, &["ban", "192.0.2.66", "--for", "5m", "--why", "it's \"why\" é"]);
    peer.stop();
    let Some(mut genuine) = Peer::new(Who::Genuine) else { return };
    genuine.write("auth.log", "");
    with_action(&genuine, "true");
    std::fs::copy(peer.path("f2b.sqlite3"), genuine.path("f2b.sqlite3")).unwrap();
    genuine.start();
    genuine.wait_log("Restore Ban 192.0.2.66");
    assert_eq!(genuine.client(&["get", "gate", "banip"]).stdout.trim(), "192.0.2.66");
    genuine.stop();
    assert!(!genuine.log().contains("ERROR"), "{}", genuine.log());
}

#[test]
fn what_is_not_in_force_is_said_and_is_no_success() {
    for (actionban, status, words) in [
        ("false", 1, "NOT ENFORCED"),
        ("sleep 20", 1, "NOT YET enforced"),
        ("true", 0, "cannot be read back"),
    ] {
        let Some((_hosts, mut peer)) = guarded("nftables-multiport") else { return };
        with_action(&peer, actionban);
        peer.start();
        let banned = ours(&peer, &["ban", "192.0.2.66", "--wait", "2"]);
        assert_eq!(banned.status, status, "{actionban}\n{banned}");
        assert!(banned.stdout.contains(words), "{actionban}\n{banned}");
        let known = ours(&peer, &["banned", "192.0.2.66"]);
        assert!(known.stdout.contains(words), "{actionban}\n{known}");
        peer.signal(Signal::KILL);
        peer.ended();
    }
}

#[test]
fn in_a_dry_run_nobody_is_banned_and_that_is_no_success() {
    let Some((_hosts, peer)) = guarded("nftables-multiport") else { return };
    let mut server = spawned(&peer, &["server", "-f", "--dry-run"], "dry.out");
    wait_file(&peer, "dry.out", "Server ready");
    let banned = ours(&peer, &["ban", "192.0.2.66"]);
    assert!(banned.status == 1 && banned.stdout.contains("--dry-run"), "{banned}");
    server.kill().unwrap();
    server.wait().unwrap();
}

#[test]
fn events_are_followed_filtered_and_heard_again_after_a_restart() {
    let Some((_hosts, mut peer)) = guarded("nftables-multiport") else { return };
    peer.start();
    let wanted = ["log", "-f", "--json", "--address", "192.0.2.0/24", "--kind", "ban", "--kind", "enforced"];
    let mut all = spawned(&peer, &wanted, "events");
    for address in ["198.51.100.1", "192.0.2.66", "2001:db8::1"] {
        ours(&peer, &["ban", address]);
    }
    wait_file(&peer, "events", "\"enforced\"");
    peer.signal(Signal::KILL);
    peer.ended();
    wait_file(&peer, "stderr.log", "waiting for it");
    peer.start();
    ours(&peer, &["ban", "192.0.2.67"]);
    let events = wait_for(PATIENCE, || {
        let read = peer.read("events");
        (read.matches("192.0.2.67").count() == 2).then_some(read)
    });
    let events = events.unwrap_or_else(|| panic!("{}\n{}", peer.read("events"), peer.log()));
    for event in events.lines() {
        let event: Json = serde_json::from_str(event).unwrap();
        assert!(event["address"].as_str().unwrap().starts_with("192.0.2."), "{event}");
        assert!(["ban", "enforced"].contains(&event["kind"].as_str().unwrap()), "{event}");
    }
    all.kill().unwrap();
    all.wait().unwrap();
    let last = ours(&peer, &["log", "-n", "1", "--kind", "ban"]);
    assert_eq!(last.stdout.lines().count(), 1, "{last}");
    assert!(last.stdout.contains("192.0.2.67, for 10m"), "{last}");
    peer.stop();
}

#[test]
fn a_failure_in_a_log_is_seen_as_it_happens_with_the_lines_that_led_to_a_ban() {
    let Some((_hosts, mut peer)) = guarded("nftables-multiport") else { return };
    peer.start();
    let mut follower = spawned(&peer, &["log", "-f"], "events");
    let line = wrong_password("192.0.2.66");
    peer.append("auth.log", &line.repeat(5));
    let events = wait_file(&peer, "events", "enforced");
    assert_eq!(events.matches("found").count(), 5, "{events}");
    assert!(events.contains("for 10m, 5 failures"), "{events}");
    let known = ours(&peer, &["banned", "192.0.2.66"]);
    assert_eq!(known.stdout.matches("Bad password attempt for 'root'").count(), 5, "{known}");
    assert!(known.stdout.contains("5 failures"), "{known}");
    follower.kill().unwrap();
    follower.wait().unwrap();
    peer.stop();
}

#[test]
fn whoever_reads_too_slowly_is_told_how_many_events_are_lost_and_delays_nobody() {
    let Some((_hosts, mut peer)) = guarded("nftables-multiport") else { return };
    with_action(&peer, "true");
    peer.start();
    let mut follower = spawned(&peer, &["log", "-f", "--json"], "events");
    wait_file(&peer, "events", "started");
    let pid = rustix::process::Pid::from_raw(follower.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, Signal::STOP).unwrap();
    let many: Vec<String> = (0..3000).map(|n| format!("10.0.{}.{}", n / 250, n % 250)).collect();
    for part in many.chunks(500) {
        let words: Vec<&str> =
            ["ban", "--wait", "0"].into_iter().chain(part.iter().map(String::as_str)).collect();
        ours(&peer, &words);
    }
    rustix::process::kill_process(pid, Signal::CONT).unwrap();
    let lost = wait_file(&peer, "events", "\"lost\"");
    let lost = lost.lines().find(|line| line.contains("\"lost\"")).unwrap();
    assert!(lost.contains("events were lost"), "{lost}");
    follower.kill().unwrap();
    follower.wait().unwrap();
    peer.signal(Signal::KILL);
    peer.ended();
}

#[test]
fn errors_have_a_remedy_and_exit_codes_that_monitoring_can_use() {
    let Some((hosts, mut peer)) = guarded("nftables-multiport") else { return };
    let commands: [&[&str]; 9] = [
        &["status"],
        &["jails"],
        &["banned"],
        &["banned", "192.0.2.1"],
        &["ban", "192.0.2.1"],
        &["unban", "192.0.2.1"],
        &["log"],
        &["reload"],
        &["top"],
    ];
    for words in commands {
        let none = ours(&peer, words);
        assert_eq!((none.status, none.stdout.as_str()), (3, ""), "{words:?}\n{none}");
        assert!(none.stderr.contains("not running") && none.stderr.contains("systemctl start"), "{none}");
    }
    // A socket behind a door that is closed, and nobody who may open all doors.
    std::fs::create_dir(peer.path("closed")).unwrap();
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o000);
    std::fs::set_permissions(peer.path("closed"), closed).unwrap();
    for words in commands {
        let mut denied = hosts.server.command("setpriv");
        let rights = "-dac_override,-dac_read_search";
        denied.args([&format!("--bounding-set={rights}"), &format!("--inh-caps={rights}"), "--"]);
        denied.arg(peer.path("bin/portcullis")).args(words).arg("-s").arg(peer.path("closed/sock"));
        let denied = denied.output().unwrap();
        let said = String::from_utf8_lossy(&denied.stderr);
        assert_eq!((denied.status.code(), denied.stdout.len()), (Some(3), 0), "{words:?}\n{said}");
        assert!(said.contains("permission denied") && said.contains("sudo"), "{words:?}\n{said}");
    }
    for (words, says) in [
        (&["ban"][..], "required"),
        (&["ban", "localhost"], "no address and no network"),
        (&["ban", "0.0.0.0/0"], "everybody"),
        (&["ban", "1.2.3.4", "--for", "soon"], "--for"),
        (&["ban", "1.2.3.4", "--wait", "1e9"], "--wait"),
        (&["unban"], "required"),
        (&["unban", "1.2.3.4", "--all"], "cannot be used with"),
        (&["log", "--kind", "beer"], "possible values"),
        (&["log", "-n", "many"], "invalid value"),
        (&["completions", "tcsh"], "possible values"),
        (&["nonsense"], "unrecognized"),
        (&["top", "-i", "0"], "0.2"),
    ] {
        let wrong = peer.run("portcullis", words);
        assert_eq!(wrong.status, 2, "{words:?}\n{wrong}");
        assert!(wrong.stderr.contains(says), "{words:?}\n{wrong}");
    }
    peer.start();
    for (words, says) in [
        (&["ban", "1.2.3.4", "--jail", "nope"][..], "there are: gate"),
        (&["unban", "1.2.3.4", "--jail", "nope"], "there are: gate"),
        (&["banned", "--jail", "nope"], "there are: gate"),
        (&["ban", "127.0.0.0/8"], "--force"),
        (&["reload", "nope"], "portcullis check"),
        (&["top"], "needs a terminal"),
    ] {
        let refused = ours(&peer, words);
        assert_eq!((refused.status, refused.stdout.as_str()), (1, ""), "{words:?}\n{refused}");
        assert!(refused.stderr.contains(says), "{words:?}\n{refused}");
    }
    peer.stop();
}

#[test]
fn a_server_that_dies_meanwhile_and_a_pipe_that_closes_are_no_riddle() {
    let Some((_hosts, mut peer)) = guarded("nftables-multiport") else { return };
    with_action(&peer, "sleep 20");
    peer.start();
    let mut ban = spawned(&peer, &["ban", "192.0.2.66", "--wait", "30"], "ban.out");
    peer.wait_log("Ban 192.0.2.66");
    peer.signal(Signal::KILL);
    peer.ended();
    let ended = wait_for(PATIENCE, || ban.try_wait().unwrap()).unwrap();
    assert_eq!(ended.code(), Some(3), "{}", peer.read("stderr.log"));
    assert!(peer.read("stderr.log").contains("does not answer"), "{}", peer.read("stderr.log"));
    with_action(&peer, "true");
    peer.start();
    let many: Vec<String> = (0..500).map(|n| format!("10.0.{}.{}", n / 250, n % 250)).collect();
    let words: Vec<&str> = ["ban"].into_iter().chain(many.iter().map(String::as_str)).collect();
    assert_eq!(ours(&peer, &words).status, 0);
    for command in ["banned", "log -n 500", "log -f", "jails", "status"] {
        let line = format!(
            "{} {command} -c {} -s {} | head -n 1; echo ${{PIPESTATUS[0]}}",
            peer.path("bin/portcullis").display(),
            peer.path("conf").display(),
            peer.path("f2b.sock").display()
        );
        let begun = Instant::now();
        let output = std::process::Command::new("bash").args(["-c", &line]).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(out.ends_with("\n0\n") && err.is_empty(), "{command}: {out}{err}");
        assert!(begun.elapsed() < Duration::from_secs(40), "{command}");
    }
    peer.stop();
}

#[test]
fn a_reload_tells_what_came_of_it() {
    let Some((_hosts, mut peer)) = guarded("nftables-multiport") else { return };
    peer.start();
    assert_eq!(ours(&peer, &["reload"]).stdout, "● reloaded: 1 jail\n");
    peer.write(
        "conf/jail.d/more.local",
        "[more]\nenabled = true\nfilter = dropbear\nlogpath = @DIR@/auth.log\n",
    );
    assert_eq!(ours(&peer, &["reload"]).stdout, "● reloaded: 2 jails\n");
    assert_eq!(ours(&peer, &["reload", "more"]).stdout, "● reloaded: more\n");
    peer.write(
        "conf/jail.d/more.local",
        "[more]\nenabled = true\nfilter = dropbear\nlogpath = @DIR@/auth.log\nmaxretry = many\n",
    );
    let broken = ours(&peer, &["reload"]);
    assert_eq!(broken.status, 1, "{broken}");
    assert!(broken.stdout.contains("portcullis check"), "{broken}");
    assert!(ours(&peer, &["jails"]).stdout.contains("gate"), "the good jail runs");
    peer.stop();
}

#[test]
fn bash_completes_commands_jails_and_addresses() {
    let Some((_hosts, mut peer)) = guarded("nftables-multiport") else { return };
    peer.start();
    ours(&peer, &["ban", "192.0.2.66", "2001:db8::66"]);
    let complete = |line: &str| {
        let line = line.replace('@', &format!("-c {0}/conf -s {0}/f2b.sock", peer.path("").display()));
        let script = format!(
            "PATH={}:$PATH; source <(portcullis completions bash); COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; \
             _portcullis; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            peer.path("bin").display()
        );
        let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(err.is_empty(), "{err}");
        out.trim().replace('\n', " ")
    };
    assert_eq!(complete("portcullis unb"), "unban");
    assert_eq!(complete("portcullis unban @ 19"), "192.0.2.66");
    // Behind the last colon, since bash puts back only that.
    assert_eq!(complete("portcullis unban @ 2001:db8:"), ":66");
    assert_eq!(complete("portcullis ban 1.2.3.4 @ --jail "), "gate");
    assert_eq!(complete("fail2ban-client @ set ga"), "gate");
    assert_eq!(complete("fail2ban-client @ get gate actionpr"), "actionproperties");
    assert_eq!(complete("fail2ban-client @ set gate unbanip 192"), "192.0.2.66");
    assert_eq!(complete("fail2ban-client @ get gate action nft"), "nftables-multiport");
    assert_eq!(complete("fail2ban-server --pid"), "--pidfile");
    assert!(complete("portcullis status -c /et").contains("/etc"));
    peer.stop();
}

#[test]
fn tables_fit_the_terminal_and_colours_are_for_terminals_only() {
    let Some((_hosts, mut peer)) = guarded("nftables-multiport") else { return };
    peer.start();
    ours(&peer, &["ban", "2001:db8:1234:5678:9abc:def0:1234:5678", "--why", &"long ".repeat(40)]);
    let wide = ours(&peer, &["banned"]);
    assert!(!wide.stdout.contains('\u{1b}'), "{wide}");
    assert!(wide.stdout.contains("long long long long"), "nothing is cut where no terminal is: {wide}");
    for width in [40_u16, 60, 80] {
        peer.env("COLUMNS", width.to_string());
        for words in [&["banned"][..], &["jails"]] {
            let table = ours(&peer, words);
            for line in table.stdout.lines() {
                assert!(line.chars().count() <= usize::from(width), "{words:?} {width}: {line}");
            }
        }
    }
    peer.stop();
}
