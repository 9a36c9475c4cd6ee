//! Every command of the table is asked, and its reply has the type that the table tells: of our server, and of the genuine one.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;

use portcullis_compliance::{Comparison, Peer, Socket, both};
use portcullis_value::Value;
use portcullis_wire::pickle::{Classes, Limits, decode, encode};
use portcullis_wire::table::{Argument, Entry, Kind, Place, entries};

fn prepare(peer: &Peer) {
    peer.write("conf/filter.d/fails.conf", "[Definition]\nfailregex = ^\\s*fail from <HOST>$\n");
    peer.write(
        "conf/action.d/act.conf",
        "[Definition]\nactionban = true\nactionunban = true\n[Init]\nport = 22\n",
    );
    peer.write(
        "conf/jail.d/replies.conf",
        "[web]\nenabled = true\nbackend = polling\naction = act\nfilter = fails\nlogpath = @DIR@/web.log\n",
    );
    peer.write("web.log", "");
    peer.write("b.log", "");
}

/// A word that a command takes for this argument.
fn word(entry: &Entry, kind: Kind) -> String {
    let word = match (kind, entry.name) {
        (Kind::Word(word), _) => word,
        (Kind::Jail, "add" | "start" | "stop") => "other",
        (Kind::Jail, _) => "web",
        (Kind::Address, _) => "192.0.2.7",
        (Kind::Action, "addaction" | "delaction") => "added",
        (Kind::Action, _) => "act",
        (Kind::Flavor, _) => "basic",
        (Kind::Backend, _) => "polling",
        (Kind::File, "dbfile") => "@DIR@/f2b.sqlite3",
        (Kind::File, "syslogsocket") => "/nonexistent/syslog",
        (Kind::File, _) => "@DIR@/b.log",
        (Kind::Number, _) => "1",
        (Kind::Time, _) => "600",
        (Kind::Level, _) => "INFO",
        (Kind::Target, _) => "@DIR@/fail2ban.log",
        (Kind::Text, "ignorecommand") => "/bin/false <ip>",
        (Kind::Text, "ignorecache") => "key=\"<ip>\", max-count=5, max-time=60",
        (Kind::Text, "logencoding") => "utf-8",
        (Kind::Text, "addjournalmatch" | "deljournalmatch") => "_SYSTEMD_UNIT=x.service",
        (Kind::Text, "addfailregex" | "addignoreregex") => "^more from <HOST>$",
        (Kind::Text, "datepattern") => "%Y-%m-%d",
        (Kind::Text, "usedns") => "warn",
        (Kind::Text, "banip") => ", ",
        (Kind::Text, _) => "port",
    };
    word.to_owned()
}

/// The words of a command before its arguments.
fn head(entry: &Entry) -> Vec<Value> {
    entry.words().split(' ').map(|word| Value::from(if word == "<JAIL>" { "web" } else { word })).collect()
}

/// Each way to call a command that its help tells: with all that may be left out and without it, and with each choice.
fn told(entry: &Entry) -> Vec<Vec<Value>> {
    let mut requests: Vec<Vec<Value>> = Vec::new();
    for form in entry.forms {
        let list = form.list();
        let choices = list.iter().map(|argument| argument.kinds.len()).max().unwrap_or(1);
        let words = |keep: &dyn Fn(&Argument) -> bool, choice: usize| -> Vec<Value> {
            let kept = list.iter().filter(|argument| keep(argument));
            let words =
                kept.map(|argument| word(entry, argument.kinds[choice % argument.kinds.len()]).into());
            [head(entry), words.collect()].concat()
        };
        let shortest = words(&|argument| !argument.optional, 0);
        for request in std::iter::once(shortest).chain((0..choices).map(|choice| words(&|_| true, choice))) {
            if !requests.contains(&request) {
                requests.push(request);
            }
        }
    }
    requests
}

/// Arguments of the commands that the help does not tell, and of those that clients call in another way than people.
fn untold(entry: &Entry) -> Vec<Vec<Value>> {
    let dict = |key: &str, value: Value| Value::Dict(vec![(key.into(), value)]);
    let stream = || Value::List(Vec::new());
    let arguments: Vec<Vec<Value>> = match (entry.place(), entry.name) {
        (Place::Server, "sleep") => vec![vec![Value::Int(0)]],
        (Place::Server, "server-stream") => vec![vec![stream()]],
        (Place::Server, "config-error") => vec![vec!["nothing is wrong".into()]],
        (Place::Server, "reload") => {
            let again = ["add", "start"].map(|word| match word {
                "add" => Value::List(vec!["add".into(), "web".into(), "polling".into()]),
                word => Value::List(vec![word.into(), "web".into()]),
            });
            vec![vec!["web".into(), stream(), Value::List(again.into())]]
        }
        (Place::Set, "thread") => vec![vec![dict("stacksize", Value::Int(0))]],
        (Place::Set, "allowipv6") => vec![vec!["auto".into()]],
        (Place::JailSet, "prefregex") => vec![vec!["^<F-CONTENT>.+</F-CONTENT>$".into()]],
        (Place::JailSet, "logtimezone") => vec![vec!["UTC+0200".into()]],
        (Place::Server, "portcullis-ban" | "portcullis-banned" | "portcullis-unban") => {
            vec![vec![dict("addresses", Value::List(vec!["192.0.2.8".into()]))]]
        }
        (Place::Server, "portcullis-explain") => {
            let lines = ("lines".into(), Value::List(vec!["fail from 192.0.2.9".into()]));
            vec![vec![Value::Dict(vec![("jail".into(), "web".into()), lines])]]
        }
        (Place::JailGet, "bantime.") => vec![],
        (Place::Server | Place::Get | Place::JailGet, _) if entry.forms.is_empty() => vec![vec![]],
        _ => vec![],
    };
    arguments.into_iter().map(|arguments| [head(entry), arguments].concat()).collect()
}

/// `bantime.` stands for each of these.
fn options(entry: &Entry) -> Vec<Vec<Value>> {
    let options = [
        ("increment", "true"),
        ("factor", "2"),
        ("maxtime", "1w"),
        ("rndtime", "60"),
        ("formula", "ban.Time"),
    ];
    let named = |option: &str| -> Vec<Value> {
        head(entry)
            .iter()
            .map(|word| {
                if word.as_str() == Some("bantime.") {
                    format!("bantime.{option}").into()
                } else {
                    word.clone()
                }
            })
            .collect()
    };
    match entry.place() {
        _ if entry.name != "bantime." => Vec::new(),
        Place::JailSet => {
            options.iter().map(|(option, value)| [named(option), vec![(*value).into()]].concat()).collect()
        }
        _ => options.iter().map(|(option, _)| named(option)).collect(),
    }
}

/// Commands of Fail2ban 1.1 and of our own.
fn is_newer(request: &[Value]) -> bool {
    let word = |index: usize| request.get(index).and_then(Value::as_str).unwrap_or_default();
    word(0).starts_with("portcullis-")
        || word(0).starts_with("stat") && word(0) != "status"
        || word(1) == "--all" && word(0) == "status"
}

/// What became of a request: `None` for one that the server does not know.
fn asked(peer: &Peer, socket: &mut Socket, request: &[Value]) -> Result<Value, Value> {
    let dir = peer.path("").to_str().unwrap().trim_end_matches('/').to_owned();
    let request: Vec<Value> = request
        .iter()
        .map(|word| word.as_str().map_or_else(|| word.clone(), |word| word.replace("@DIR@", &dir).into()))
        .collect();
    let answer = socket
        .ask(&encode(&Value::List(request.clone())))
        .unwrap_or_else(|| panic!("{request:?}: no answer"));
    match decode(&answer, Classes::Replies, Limits::default()) {
        Ok(Value::Tuple(answer)) if answer.len() == 2 => {
            if answer[0] == Value::Int(0) {
                Ok(answer[1].clone())
            } else {
                Err(answer[1].clone())
            }
        }
        other => panic!("{request:?}: {other:?}"),
    }
}

#[test]
fn every_command_answers_what_its_row_of_the_table_tells() {
    let run = |peer: &mut Peer| {
        prepare(peer);
        peer.start();
        let mut rows: Vec<&Entry> = entries().filter(|entry| entry.is_sent()).collect();
        // Who changes or ends what the others ask about comes last.
        rows.sort_by_key(|entry| match entry.name {
            "reload" => 1,
            "stop" => 2,
            _ => 0,
        });
        let mut outcomes = Vec::new();
        let mut answered = BTreeSet::new();
        let mut misfits = Vec::new();
        let mut socket = Socket::to(peer);
        for entry in rows {
            let mut requests = [told(entry), untold(entry), options(entry)].concat();
            // The jail first, then the server, which answers nothing more.
            requests.sort_by_key(|request| entry.name == "stop" && request.len() == 1);
            for request in requests {
                let shown = peer.mask(&Value::List(request.clone()).to_string());
                if is_newer(&request) && peer.who() == portcullis_compliance::Who::Genuine
                    || matches!(request[0].as_str(), Some("portcullis-restart"))
                {
                    continue;
                }
                // People's reload is made of another on the socket.
                if request[0].as_str() == Some("reload") && request.len() < 4 {
                    continue;
                }
                let outcome = asked(peer, &mut socket, &request);
                if let Ok(reply) = &outcome {
                    if !entry.reply.fits(reply) {
                        misfits.push(format!("{shown} is to answer {}, not {reply:?}", entry.reply));
                    }
                    answered.insert(entry.words());
                }
                if !is_newer(&request) {
                    outcomes.push((
                        shown,
                        outcome.map_err(|exception| peer.mask(&exception.repr())).map(|_| "answered"),
                    ));
                }
            }
        }
        peer.ended();
        assert!(misfits.is_empty(), "{}:\n{}", peer.who(), misfits.join("\n"));
        (outcomes, answered)
    };
    let Some(((theirs, their_answers), (ours, our_answers))) = both(run) else { return };
    let mut comparison = Comparison::new("commands of the table");
    assert_eq!(theirs.len(), ours.len());
    for ((request, theirs), (_, ours)) in theirs.iter().zip(&ours) {
        comparison.same(request, &format!("{theirs:?}"), &format!("{ours:?}"));
    }
    // Each row was answered: what fails says nothing about its type.
    for entry in entries().filter(|entry| entry.is_sent() && entry.name != "portcullis-restart") {
        let words = entry.words();
        assert!(our_answers.contains(&words), "ours never answered {words}");
        let newer = is_newer(&head(entry));
        assert!(newer || their_answers.contains(&words), "the genuine one never answered {words}");
    }
    println!("{} requests, {} rows of the table", ours.len(), our_answers.len());
    comparison.finish();
}
