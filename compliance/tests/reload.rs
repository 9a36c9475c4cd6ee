//! A reload is a difference: what runs afterwards is what a fresh start with the new configuration would have made, with
//! bans and positions kept. Random pairs of configurations; `RELOAD_SEED` repeats those of an earlier run, `RELOADS` says how many.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::format_push_string)]

mod gets;
#[path = "reload/random.rs"]
mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portcullis_compliance::{Peer, Random, Who, number, wait_for};
use random::{Configuration, JailOf};

const GLOBAL_GETS: &[&str] =
    &["loglevel", "logtarget", "syslogsocket", "dbfile", "dbmaxmatches", "dbpurgeage", "allowipv6"];

/// An action that keeps a file for each ban: `held/JAIL/ACTION/MARK/IP`.
const HOLD: &str = "[Definition]
actionstart = mkdir -p \"@DIR@/held/<name>/<actname>/<mark>\"
actionstop = rm -r \"@DIR@/held/<name>/<actname>\"
actionflush = rm -f \"@DIR@/held/<name>/<actname>/<mark>\"/*
actionban = echo >> \"@DIR@/held/<name>/<actname>/<mark>/<ip>\"
actionunban = rm \"@DIR@/held/<name>/<actname>/<mark>/<ip>\"
[Init]
mark = none
";

/// Sends requests over one connection; the answers as Python shows them.
fn answers(peer: &Peer, requests: &[Vec<String>]) -> Vec<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conversation/drive.py");
    let mut driver = std::process::Command::new("python3")
        .arg(script)
        .arg(peer.path("f2b.sock"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let requests = serde_json::to_string(requests).unwrap();
    driver.stdin.take().unwrap().write_all(requests.as_bytes()).unwrap();
    let output = driver.wait_with_output().unwrap();
    assert!(output.status.success(), "the driver failed\n{}", peer.log());
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// Everything that a client can see of a server, by what was asked: globals, jails, their options, their actions' properties.
fn state(peer: &Peer, jails: &[&str]) -> BTreeMap<String, String> {
    let mut asked: Vec<Vec<String>> = GLOBAL_GETS.iter().map(|what| words(&format!("get {what}"))).collect();
    asked.push(words("status"));
    for jail in jails {
        asked.extend(gets::plain().iter().map(|what| words(&format!("get {jail} {what}"))));
    }
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut properties = Vec::new();
    for (question, answer) in asked.iter().zip(answers(peer, &asked)) {
        if question.last().unwrap() == "actions" {
            properties.extend(names(&answer).into_iter().map(|name| {
                vec!["get".to_owned(), question[1].clone(), "actionproperties".to_owned(), name]
            }));
        }
        found.insert(question.join(" "), answer);
    }
    let mut values = Vec::new();
    for (question, answer) in properties.iter().zip(answers(peer, &properties)) {
        // Those are inner counters.
        for name in names(&answer).into_iter().filter(|name| name != "banEpoch") {
            values.push(vec![
                "get".to_owned(),
                question[1].clone(),
                "action".to_owned(),
                question[3].clone(),
                name,
            ]);
        }
        found.insert(question.join(" "), answer);
    }
    for (question, answer) in values.iter().zip(answers(peer, &values)) {
        found.insert(question.join(" "), answer);
    }
    found
}

/// The texts in an answer like `(0, ['a', 'b'])`.
fn names(answer: &str) -> Vec<String> {
    answer.split('\'').skip(1).step_by(2).map(str::to_owned).collect()
}

/// `JAIL/ACTION/MARK/IP` of each ban that an action holds.
fn held(peer: &Peer) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![peer.path("held")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                let path = entry.path();
                found.insert(path.strip_prefix(peer.path("held")).unwrap().display().to_string());
            }
        }
    }
    found
}

fn write(peer: &Peer, configuration: &Configuration) {
    peer.write("conf/jail.d/test.conf", &configuration.jail_text());
    peer.write("conf/fail2ban.d/test.conf", &configuration.global_text());
}

/// A server's directory for a configuration; nothing runs yet.
fn prepared(configuration: &Configuration) -> Option<Peer> {
    let peer = Peer::new(Who::Ours)?;
    peer.write(
        "conf/filter.d/plain.conf",
        "[Definition]\nfailregex = ^<word> from <HOST>$\n  <extra>\n[Init]\nword = fail\nextra =\n",
    );
    peer.write(
        "conf/filter.d/dated.conf",
        "[Definition]\nfailregex = ^ fail from <HOST>$\ndatepattern = ^EPOCH\nignoreregex =\n",
    );
    for name in ["hold", "other"] {
        peer.write(&format!("conf/action.d/{name}.conf"), HOLD);
    }
    peer.write("a.log", "");
    peer.write("b.log", "");
    write(&peer, configuration);
    Some(peer)
}

/// Addresses that are banned by hand in each jail before the reload.
fn ban_by_hand(peer: &Peer, jails: &[JailOf]) {
    for jail in jails {
        let answer = &answers(
            peer,
            &[words(&format!("set {} banip 198.51.100.1 2001:db8:1::9 198.51.100.77", jail.name))],
        )[0];
        assert_eq!(answer, "(0, 3)", "{}", peer.log());
    }
}

/// What a seed gives: differences between the state after a reload and after a fresh start, or what else went wrong.
fn reload(seed: u64) -> Option<Vec<String>> {
    let mut random = Random::new(seed);
    let old = Configuration::new(&mut random);
    let new = old.changed(&mut random);
    let mut peer = prepared(&old)?;
    peer.start();
    ban_by_hand(&peer, &old.jails);
    write(&peer, &new);
    let reloaded = peer.client(&["reload"]);
    let mut wrong = Vec::new();
    if reloaded.status != 0 {
        wrong.push(format!("reload: {reloaded}"));
    }
    let jails: Vec<&str> = new.jails.iter().map(|jail| jail.name).collect();
    let kept: Vec<&JailOf> =
        new.jails.iter().filter(|jail| old.jails.iter().any(|o| o.name == jail.name)).collect();
    let seen = (state(&peer, &jails), settled_held(&peer, &expected(&kept)));
    let log = peer.log();
    peer.stop();
    if !held(&peer).is_empty() {
        wrong.push(format!("after the stop there is still {:?}", held(&peer)));
    }
    let mut fresh = peer;
    fresh.start();
    for jail in &kept {
        fresh.wait_log(&format!("[{}] Restore Ban", jail.name));
    }
    let wanted = expected(&kept);
    let after = (state(&fresh, &jails), settled_held(&fresh, &wanted));
    for (question, answer) in &after.0 {
        if question.ends_with("banip") || question.ends_with("banned") {
            let sorted = |text: &str| names(text).into_iter().collect::<BTreeSet<_>>();
            if sorted(answer) == sorted(&seen.0[question]) {
                continue;
            }
        }
        if seen.0.get(question) != Some(answer) {
            wrong.push(format!(
                "{question}: after the reload {:?}, after a start {answer}",
                seen.0.get(question)
            ));
        }
    }
    for question in seen.0.keys().filter(|question| !after.0.contains_key(*question)) {
        wrong.push(format!("{question}: only after the reload"));
    }
    for (when, seen) in [("reload", &seen.1), ("start", &after.1)] {
        if *seen != wanted {
            wrong.push(format!("held after the {when}: {seen:?}\nexpected: {wanted:?}"));
        }
    }
    if !wrong.is_empty() {
        wrong.push(format!(
            "jails {jails:?}\nold:\n{}\nnew:\n{}\nlog:\n{log}",
            old.jail_text(),
            new.jail_text()
        ));
    }
    Some(wrong)
}

/// What the actions of jails hold which were there before: the bans by hand.
fn expected(jails: &[&JailOf]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for jail in jails {
        for (action, mark) in actions(jail.option("action").unwrap()) {
            for ip in ["198.51.100.1", "2001:db8:1::9", "198.51.100.77"] {
                all.insert(format!("{}/{action}/{mark}/{ip}", jail.name));
            }
        }
    }
    all
}

/// Names and marks in an `action` option of the test.
fn actions(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let name_end = rest.find(['[', ' ', '\n']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(name_end);
        let (options, after) = match after.strip_prefix('[') {
            Some(inner) => inner.split_once(']').unwrap(),
            None => ("", after),
        };
        let option = |wanted: &str| {
            let pairs = options.split(',').filter_map(|pair| pair.trim().split_once('='));
            pairs
                .filter(|(name, _)| *name == wanted)
                .map(|(_, value)| value.trim_matches('"').to_owned())
                .next()
        };
        found.push((
            option("actname").unwrap_or(name.to_owned()),
            option("mark").unwrap_or("none".to_owned()),
        ));
        rest = after.trim_start();
    }
    found
}

/// What is held once that is as expected, or after a while.
fn settled_held(peer: &Peer, expected: &BTreeSet<String>) -> BTreeSet<String> {
    wait_for(Duration::from_secs(5), || (held(peer) == *expected).then_some(()));
    held(peer)
}

#[test]
fn the_state_after_a_reload_is_the_state_after_a_fresh_start_with_bans_kept() {
    let day = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() / 86_400;
    let first = number("RELOAD_SEED").unwrap_or(day * 1000);
    let count = number("RELOADS").unwrap_or(8);
    println!("RELOAD_SEED={first} RELOADS={count}");
    let mut differing = Vec::new();
    for seed in first..first + count {
        let Some(wrong) = reload(seed) else { return };
        if !wrong.is_empty() {
            differing.push(format!("seed {seed}:\n{}", wrong.join("\n")));
        }
    }
    println!("{} of {count} reloads end as a fresh start does", count - differing.len() as u64);
    assert!(differing.is_empty(), "{}", differing.join("\n\n"));
}

/// Lines come in while the configuration changes to and fro: each is a failure once, in the jail that stays as it is, in
/// one that changes, and in one whose backend changes, which is another jail then.
#[test]
fn no_line_is_lost_or_counted_twice_while_reloads_go_on() {
    let Some(mut peer) = Peer::new(Who::Ours) else { return };
    peer.write(
        "conf/filter.d/plain.conf",
        "[Definition]\nfailregex = ^fail from <HOST>$\ndatepattern = {NONE}\n",
    );
    peer.write("conf/action.d/hold.conf", HOLD);
    peer.write("a.log", "");
    let configure = |peer: &Peer, mark: &str, backend: &str| {
        let jail = |name: &str, rest: &str| {
            format!(
                "[{name}]\nenabled = true\nfilter = plain\nlogpath = @DIR@/a.log\nmaxretry = 1000\n{rest}\n"
            )
        };
        let text = [
            jail("same", "backend = auto\naction = hold"),
            jail("polled", "backend = polling\naction = hold"),
            jail("changed", &format!("backend = auto\naction = hold[mark={mark}]\nbantime = {}", mark.len())),
            jail("other", &format!("backend = {backend}\naction = hold")),
        ];
        peer.write("conf/jail.d/test.conf", &text.concat());
    };
    configure(&peer, "x", "auto");
    peer.start();
    let done = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut written = 0_u32;
            while !done.load(Ordering::Relaxed) && written < 60_000 {
                let lines: Vec<String> = (written..written + 10)
                    .map(|number| format!("fail from 10.1.{}.{}\n", number / 250, number % 250))
                    .collect();
                peer.append("a.log", &lines.concat());
                written += 10;
                std::thread::sleep(Duration::from_millis(5));
            }
            written
        });
        for round in 0..4 {
            let (mark, backend) = if round % 2 == 0 { ("yy", "polling") } else { ("x", "auto") };
            configure(&peer, mark, backend);
            let reload = peer.client(&["reload"]);
            assert_eq!(reload.stdout.trim(), "OK", "{reload}\n{}", peer.log());
        }
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    let found = |jail: &str| {
        let log = peer.log();
        let begin = format!("[{jail}] Found ");
        let addresses = log.lines().filter_map(|line| line.split_once(&begin)?.1.split(' ').next());
        addresses.map(str::to_owned).collect::<Vec<_>>()
    };
    for jail in ["same", "polled", "changed", "other"] {
        wait_for(Duration::from_secs(20), || (found(jail).len() >= written as usize).then_some(()));
        let all = found(jail);
        let different: BTreeSet<&String> = all.iter().collect();
        println!("{jail}: {} lines, {} found, {} of them different", written, all.len(), different.len());
        assert_eq!((all.len(), different.len()), (written as usize, written as usize), "{jail}");
    }
}

/// Another backend makes another jail. Without a database it goes on with the bans and the positions of the one before it.
#[test]
fn another_backend_loses_no_ban_and_no_position_without_a_database() {
    let Some(mut peer) = Peer::new(Who::Ours) else { return };
    peer.write(
        "conf/filter.d/plain.conf",
        "[Definition]\nfailregex = ^fail from <HOST>$\ndatepattern = {NONE}\n",
    );
    peer.write("conf/action.d/hold.conf", HOLD);
    peer.write("conf/fail2ban.d/test.conf", "[Definition]\ndbfile = None\n");
    // The paths of the test come after it.
    let paths = peer.read("conf/fail2ban.local").replace("dbfile", "unused");
    peer.write("conf/fail2ban.local", &paths);
    peer.write("a.log", "");
    let configure = |peer: &Peer, backend: &str, bantime: &str| {
        let text = format!(
            "[web]\nenabled = true\nfilter = plain\nlogpath = @DIR@/a.log\nmaxretry = 3\nbackend = {backend}\n\
             bantime = {bantime}\naction = hold\n"
        );
        peer.write("conf/jail.d/test.conf", &text);
    };
    configure(&peer, "polling", "1h");
    peer.start();
    assert_eq!(peer.client(&["get", "dbfile"]).stdout.trim(), "Database currently disabled");
    peer.append("a.log", &"fail from 198.51.100.1\n".repeat(3));
    peer.wait_log("[web] Ban 198.51.100.1");
    peer.append("a.log", "fail from 198.51.100.2\nfail from 198.51.100.2\n");
    peer.wait_log_times("[web] Found 198.51.100.2", 2);
    assert_eq!(peer.client(&["set", "web", "banip", "198.51.100.3"]).stdout.trim(), "1");
    assert_eq!(peer.client(&["unban", "198.51.100.1"]).stdout.trim(), "1");
    for (backend, bantime) in [("auto", "1h"), ("pyinotify", "-1"), ("polling", "2h")] {
        configure(&peer, backend, bantime);
        let reload = peer.client(&["reload"]);
        assert_eq!(reload.stdout.trim(), "OK", "{reload}\n{}", peer.log());
        peer.append("a.log", &format!("fail from 198.51.100.{}\n", 10 + backend.len()));
        peer.wait_log(&format!("[web] Found 198.51.100.{}", 10 + backend.len()));
        let banned = peer.client(&["get", "web", "banip"]).stdout;
        assert_eq!(banned.trim(), "198.51.100.3", "{backend}\n{}", peer.log());
        let held = wait_for(Duration::from_secs(20), || {
            peer.path("held/web/hold/none/198.51.100.3").exists().then_some(())
        });
        assert!(held.is_some(), "{backend}: the action does not hold it\n{}", peer.log());
    }
    // What was read before was not read again.
    assert_eq!(peer.log().matches("[web] Found 198.51.100.1 ").count(), 3, "{}", peer.log());
    assert_eq!(peer.log().matches("[web] Found 198.51.100.2 ").count(), 2, "{}", peer.log());
    peer.stop();
}

/// What `portcullis.conf` says of actions holds after a reload, whether or not an action itself was changed.
#[test]
fn a_changed_portcullis_conf_reaches_actions_that_are_otherwise_unchanged() {
    let Some((_hosts, mut peer)) = Peer::guarding() else { return };
    peer.write(
        "conf/jail.d/test.conf",
        "[DEFAULT]\nbackend = polling\nlogpath = @DIR@/a.log\nfilter = dropbear\nbanaction = nftables-multiport\n\
         [one]\nenabled = true\n[two]\nenabled = true\nport = 80\n",
    );
    peer.write("a.log", "");
    peer.write("conf/portcullis.conf", "[DEFAULT]\nnativeactions = true\n");
    peer.start();
    for jail in ["one", "two"] {
        assert_eq!(peer.client(&["set", jail, "banip", "198.51.100.66"]).stdout.trim(), "1");
    }
    // Which program carries out the action of each jail.
    let by = |peer: &Peer| -> Vec<String> {
        let status = peer.run("portcullis", &["status", "--json", "-c", "@DIR@/conf"]);
        let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
        let jails = status["jails"].as_array().unwrap();
        jails.iter().map(|jail| jail["actions"][0]["by"].as_str().unwrap().to_owned()).collect()
    };
    let before = by(&peer);
    peer.write("conf/portcullis.conf", "[two]\nnativeactions = false\n");
    let reload = peer.client(&["reload"]);
    assert_eq!(reload.stdout.trim(), "OK", "{reload}\n{}", peer.log());
    let after = by(&peer);
    assert_eq!(after[0], before[0], "{before:?} {after:?}");
    assert_ne!(after[1], before[1], "{before:?} {after:?}");
    for jail in ["one", "two"] {
        let enforced = || {
            let about =
                peer.run("portcullis", &["banned", "198.51.100.66", "--json", "-c", "@DIR@/conf"]).stdout;
            let about: serde_json::Value = serde_json::from_str(&about).unwrap();
            let bans = about["addresses"][0]["bans"].as_array().unwrap().clone();
            let ban = bans.into_iter().find(|ban| ban["jail"] == jail)?;
            (ban["enforcement"] == "enforced").then_some(())
        };
        assert!(wait_for(Duration::from_secs(20), enforced).is_some(), "{jail}\n{}", peer.log());
    }
    peer.stop();
}
