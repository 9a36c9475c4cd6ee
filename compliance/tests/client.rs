//! `fail2ban-client`: the same words, the same exit status, command by command.

#![allow(clippy::unwrap_used, clippy::panic)]

use portcullis_compliance::{Comparison, Output, Peer, Who, both};

/// Two jails with an action that does nothing.
fn prepare(peer: &Peer) {
    peer.write("conf/filter.d/fails.conf", "[Definition]\nfailregex = ^\\s*fail from <HOST>$\n");
    peer.write(
        "conf/action.d/act.conf",
        "[Definition]\nactionstart = true\nactionstop = true\nactionban = true\nactionunban = true\n[Init]\n",
    );
    peer.write(
        "conf/jail.d/client.conf",
        "[DEFAULT]\nbackend = polling\naction = act\nfilter = fails\n[web]\nenabled = true\nlogpath = @DIR@/web.log\n\
         [ssh]\nenabled = true\nlogpath = @DIR@/web.log\n",
    );
    peer.write("web.log", "");
    peer.write("b.log", "");
}

/// The lines of a file beside this one, without comments; each with its words.
fn lines(file: &str) -> Vec<(String, Vec<String>)> {
    let text =
        std::fs::read_to_string(format!("{}/tests/client/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| (line.to_owned(), words(line))).collect()
}

/// Split at blanks; `'…'` is one word, or part of one.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    assert!(!quoted, "{line}");
    words.extend(word);
    words
}

fn slices(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// Help is told in everybody's own words: only that it is told is compared.
fn without_help(mut output: Output) -> Output {
    if output.stdout.starts_with("Usage: fail2ban-client [OPTIONS] <COMMAND>\n") {
        output.stdout = "the usage\n".into();
    }
    let banner = output.stdout.find("\n\nfail2ban> ").unwrap_or(0);
    output.stdout.replace_range(..banner, "");
    output
}

#[test]
fn every_command_is_sent_and_shown_as_by_fail2ban_s_client() {
    let (Some(mut theirs), Some(mut ours)) = (Peer::new(Who::Genuine), Peer::new(Who::Genuine)) else {
        return;
    };
    let lines = lines("commands.txt");
    let run = |peer: &mut Peer, our_client: bool| -> Vec<Output> {
        prepare(peer);
        peer.start();
        let answers = lines.iter().map(|(_, words)| {
            let words = slices(words);
            if our_client { peer.other_client(&words) } else { peer.client(&words) }.masked()
        });
        let answers = answers.collect();
        peer.ended();
        answers
    };
    // Two genuine servers, the same commands in the same order.
    let (theirs, ours) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| run(&mut theirs, false));
        let ours = run(&mut ours, true);
        (theirs.join().unwrap(), ours)
    });
    let mut comparison = Comparison::new("client, command by command");
    for ((line, _), (theirs, ours)) in lines.iter().zip(theirs.iter().zip(&ours)) {
        comparison.same_output(line, theirs, ours);
    }
    comparison.finish();
}

#[test]
fn every_option_means_what_it_means_to_fail2ban_s_client() {
    let lines = lines("options.txt");
    let run = |peer: &mut Peer| -> Vec<Output> {
        prepare(peer);
        peer.write("broken/jail.conf", "x = 1\n");
        let outputs = lines.iter().map(|(_, words)| peer.run("fail2ban-client", &slices(words)).masked());
        outputs.map(without_help).collect()
    };
    let Some((theirs, ours)) = both(run) else { return };
    let mut comparison = Comparison::new("client, option by option");
    for ((line, _), (theirs, ours)) in lines.iter().zip(theirs.iter().zip(&ours)) {
        comparison.same_output(line, theirs, ours);
    }
    comparison.finish();
}

#[test]
fn a_server_comes_and_goes_as_with_fail2ban_s_client() {
    let lines = lines("starts.txt");
    let run = |peer: &mut Peer| -> Vec<Output> {
        prepare(peer);
        lines.iter().map(|(_, words)| peer.client(&slices(words)).masked()).collect()
    };
    let Some((theirs, ours)) = both(run) else { return };
    let mut comparison = Comparison::new("client, start and stop");
    for ((line, _), (theirs, ours)) in lines.iter().zip(theirs.iter().zip(&ours)) {
        comparison.same_output(line, theirs, ours);
    }
    comparison.finish();
}
