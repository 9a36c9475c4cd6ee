//! Made-up commands, full of tags: what a script becomes under the genuine server, and under ours.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "actions/driver.rs"]
mod driver;

use std::io::Write as _;
use std::process::Stdio;

use portcullis_compliance::{Comparison, Peer, Who};
use portcullis_jail::action::{Facts as _, Info, Operation};
use portcullis_jail::{Id, Ticket};
use regex::Regex;

use driver::{Jail, sent_action};

/// What templates are made of. All of it stands in double quotes, where a shell leaves it alone.
const PIECES: &[&str] = &[
    "<ip>",
    "<fid>",
    "<family>",
    "<ip-rev>",
    "<failures>",
    "<bantime>",
    "<bancount>",
    "<restored>",
    "<matches>",
    "<ipmatches>",
    "<ipfailures>",
    "<F-USER>",
    "<F-ID>",
    "<F-NO-SUCH>",
    "<F-IP4>",
    "<F-lower>",
    "<F->",
    "<F-*>",
    "<raw-ticket>",
    "<br>",
    "<sp>",
    "<a>",
    "<b>",
    "<a<b>>",
    "<a<v>>",
    "<v>",
    "<v?family=inet6>",
    "<q>",
    "<deep>",
    "<unknown>",
    "<IP>",
    "<>",
    "< ip>",
    "<ip >",
    "<",
    ">",
    "<<",
    ">>",
    "<a><b>",
    "<ip",
    "ip>",
    "<name>",
    "<actname>",
    "<timeout>",
    "<norestored>",
    "<banEpoch>",
    "<empty>",
    "<actionunban>",
    "text",
    "_",
    "1",
    " ",
    "-",
    ".",
    "<jail.banned>",
    "<é>",
    "<a.b>",
    "<A>",
];

/// Whom the templates are about, in turn.
const IDS: &[&str] =
    &["192.0.2.", "2001:db8::", "198.51.100.0/", "garbage", "a;b", "sp ace", "<ip>", "{x}", "ümlaut"];

const DEFINITION: &str = "[Definition]\nactionunban = true\n[Init]\na = A\nb = 1\na1 = <a>x<ip>\na4 = four\na6 = six<v>\nv = 4\n\
     empty =\nq = <v><a<b>><fid>\ndeep = <q>-<q>\na.b = dotted\n[Init?family=inet6]\nv = 6\na1 = six\n";

/// A small generator, the same on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % sides
    }
}

fn cases() -> Vec<(String, String)> {
    let mut dice = Dice(1_700_000_000);
    (0..160)
        .map(|number| {
            let pieces = 1 + dice.roll(9);
            let text: String = (0..pieces).map(|_| PIECES[dice.roll(PIECES.len())]).collect();
            let id = IDS[dice.roll(IDS.len())];
            let id =
                if id == "198.51.100.0/" { format!("10.{number}.0.0/16") } else { format!("{id}{number}") };
            (format!("echo \"{text}\""), id)
        })
        .collect()
}

/// What the genuine server ran first for each case.
fn genuine(peer: &mut Peer, cases: &[(String, String)]) -> Vec<String> {
    peer.start();
    let mut client = peer
        .command("fail2ban-client", &["-c", "@DIR@/conf", "-s", "@DIR@/f2b.sock", "-i"])
        .env("PYTHONIOENCODING", "utf-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = client.stdin.take().unwrap();
    for (template, id) in cases {
        let template = template.replace('\'', "'\\''");
        writeln!(input, "set J action probe actionban '{template}'\nset J banip '{id}'").unwrap();
    }
    drop(input);
    client.wait().unwrap();
    let log = peer.log();
    peer.stop();
    let head = Regex::new(r"(?m)^\d{4}-\S+ \S+ fail2ban").unwrap();
    let starts: Vec<_> = head.find_iter(&log).map(|found| found.start()).chain([log.len()]).collect();
    let records = starts.windows(2).map(|pair| log[pair[0]..pair[1]].trim_end_matches('\n'));
    let (mut ran, mut expected) = (Vec::new(), false);
    for record in records {
        if record.contains(": NOTICE  [J] Ban ") {
            expected = true;
        } else if let Some((_, command)) = record.split_once("#09-Lev. ")
            && record.contains("fail2ban.action ")
            && !record.contains("#09-Lev. START")
            && expected
        {
            ran.push(command.to_owned());
            expected = false;
        }
    }
    ran
}

/// Without what differs between two runs, and without the braces by which our variables survive a letter behind them.
fn masked(text: &str) -> String {
    let text = Regex::new(r"1[6-9]\d{8}(\.\d+)?").unwrap().replace_all(text, "SECONDS").into_owned();
    Regex::new(r"\$\{(f2bV_\w+)\}").unwrap().replace_all(&text, "$$$1").into_owned()
}

#[test]
fn templates_become_the_scripts_that_fail2ban_makes_of_them() {
    let (Some(mut theirs), Some(mine)) = (Peer::new(Who::Genuine), Peer::new(Who::Genuine)) else { return };
    for peer in [&theirs, &mine] {
        peer.write("conf/action.d/probe.conf", DEFINITION);
        let local = peer.read("conf/fail2ban.local");
        peer.write("conf/fail2ban.local", &format!("{local}loglevel = 9\n"));
        peer.write("some.log", "");
        peer.write(
            "conf/jail.local",
            "[J]\nenabled = true\nfilter =\nlogpath = @DIR@/some.log\nbackend = polling\nbantime = 600\naction = probe\n",
        );
    }
    let cases = cases();
    let ran = genuine(&mut theirs, &cases);
    assert_eq!(ran.len(), cases.len(), "every template was run");
    let mut action = sent_action(&mine);
    let facts = Jail::default();
    let mut comparison = Comparison::new("made-up commands");
    for ((template, id), ran) in cases.iter().zip(ran) {
        action.set("actionban", template.as_str().into());
        let ticket = Ticket::by_hand(Id::new(id), facts.now());
        let info = Info::ticket(&ticket, &facts);
        let script = action.render(Operation::Ban, ticket.id.family(), &info).unwrap().unwrap();
        // How many are banned is not what this is about.
        let counted = template.contains("jail.banned");
        if !counted {
            comparison.same(&format!("{template} for {id}"), &masked(&ran), &masked(&script.shown()));
        }
    }
    assert!(comparison.made() > 130, "{} comparisons", comparison.made());
    comparison.finish();
}
