//! The stock action `smtp.py`: the same mails, over the same conversation with the server, as the genuine program's.

// Helpers of tests are outside `#[test]` functions, where clippy looks for what tests may do.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_compliance::{Comparison, Peer, Who, both, wait_for};

/// A mail server that takes everything and writes down what it is told.
struct MailServer {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl MailServer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // One after the other, as they are sent.
                serve(stream.unwrap(), &shared);
            }
        });
        MailServer { port, heard }
    }

    fn wait_mails(&self, count: usize) {
        let came = wait_for(Duration::from_secs(30), || (self.mails() >= count).then_some(()));
        assert!(came.is_some(), "{count} mails:\n{}", self.text());
    }

    fn mails(&self) -> usize {
        self.heard.lock().unwrap().iter().filter(|line| *line == "quit").count()
    }

    /// All that was heard; dates, and sizes that depend on nothing else, stay.
    fn text(&self) -> String {
        let dated =
            |line: &String| if line.starts_with("Date: ") { "Date: TIME".to_owned() } else { line.clone() };
        self.heard.lock().unwrap().iter().map(|line| dated(line) + "\n").collect()
    }
}

fn serve(stream: TcpStream, heard: &Mutex<Vec<String>>) {
    let mut out = stream.try_clone().unwrap();
    let mut say = |text: &str| out.write_all(format!("{text}\r\n").as_bytes()).is_ok();
    say("220 mail.example ESMTP");
    let mut data = false;
    // Whoever is called `old` has a password that does not go with the challenge.
    let mut challenged = false;
    for line in BufReader::new(stream).split(b'\n') {
        let Ok(line) = line else { return };
        // A CR before each line's end, or this is seen as a difference.
        let line = String::from_utf8_lossy(&line).into_owned();
        let line = line.strip_suffix('\r').map_or(format!("{line} (without CR)"), str::to_owned);
        heard.lock().unwrap().push(line.clone());
        if data {
            if line == "." {
                data = false;
                say("250 taken");
            }
            continue;
        }
        if std::mem::take(&mut challenged) {
            // base64 of `old `
            say(if line.starts_with("b2xkI") { "535 no" } else { "235 welcome" });
            continue;
        }
        let command = line.to_ascii_lowercase();
        let more = match command.split(' ').next().unwrap_or_default() {
            "ehlo" => say("250-mail.example\r\n250-SIZE 1000000\r\n250 AUTH LOGIN PLAIN CRAM-MD5"),
            "auth" if command.starts_with("auth cram-md5") => {
                challenged = true;
                say("334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+")
            }
            "auth" => say("235 welcome"),
            "data" => {
                data = true;
                say("354 go on")
            }
            "quit" => {
                say("221 bye");
                false
            }
            _ => say("250 fine"),
        };
        if !more {
            return;
        }
    }
}

/// A jail whose only action is the mail, with these parameters; a ban by failures, one by hand, an unban, the end.
fn scene(peer: &mut Peer, parameters: &str) -> (String, String) {
    let server = MailServer::start();
    peer.write("auth.log", "");
    peer.write(
        "conf/jail.local",
        &format!(
            "[gate]\nenabled = true\nfilter =\nfailregex = wrong from <HOST>\nbackend = polling\nmaxretry = 3\nusedns = no\nlogpath = @DIR@/auth.log\naction = smtp.py[host=\"127.0.0.1:{}\"{parameters}]\n",
            server.port
        ),
    );
    peer.start();
    server.wait_mails(1);
    let now = std::process::Command::new("date").arg("+%Y-%m-%d %H:%M:%S").output().unwrap().stdout;
    let now = String::from_utf8(now).unwrap();
    for text in ["one", "two ü", ".three"] {
        peer.append("auth.log", &format!("{} wrong from 192.0.2.66 {text}\n", now.trim_end()));
    }
    server.wait_mails(2);
    peer.client(&["set", "gate", "banip", "2001:db8::66"]);
    server.wait_mails(3);
    peer.client(&["set", "gate", "unbanip", "192.0.2.66"]);
    peer.stop();
    server.wait_mails(4);
    let text = server.text().replace(now.trim_end(), "NOW");
    // What is encoded holds the time: it is compared decoded.
    (text, peer.messages(&["Ban ", "Unban ", "ERROR"]))
}

/// The text with what is encoded in base64 decoded, and times masked.
fn readable(heard: &str) -> String {
    let mut out = String::new();
    let mut encoded = None;
    for line in heard.lines() {
        if line == "Content-Transfer-Encoding: base64" {
            encoded = Some(String::new());
        }
        match (&mut encoded, line) {
            (Some(text), ".") => {
                let decoded = String::from_utf8(decode(text)).unwrap();
                out.push_str(&decoded);
                out.push_str("\n.\n");
                encoded = None;
            }
            (Some(text), line) if !line.contains([' ', ':']) => text.push_str(line),
            _ => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    regex::Regex::new(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d").unwrap().replace_all(&out, "TIME").into_owned()
}

fn decode(text: &str) -> Vec<u8> {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits: Vec<u32> = text.chars().filter_map(|c| alphabet.find(c)).map(|digit| digit as u32).collect();
    let mut out = Vec::new();
    for chunk in digits.chunks(4) {
        let number = chunk.iter().fold(0, |number, digit| number << 6 | digit) << (6 * (4 - chunk.len()));
        out.extend_from_slice(&number.to_be_bytes()[1..chunk.len()]);
    }
    out
}

#[test]
fn the_mails_are_the_genuine_ones() {
    let long = "a.very.long.name.of.somebody@a.domain.that.is.long.as.well.example.org";
    for (name, parameters) in [
        ("defaults", String::new()),
        (
            "two recipients, lines of the ban",
            ", dest=\"a@example.org, b@example.org\", matches=matches, sender=x@example.org".into(),
        ),
        (
            "a login, lines of the address",
            ", user=me, password=secret, matches=ipmatches, sendername=\"Gate, keeper\"".into(),
        ),
        ("a login that takes two tries", ", user=old, password=secret".into()),
        ("lines of the address in the jail", ", matches=ipjailmatches, sendername=\"Wächter\"".into()),
        (
            "an unknown choice of lines, long lists",
            format!(", matches=nothing, dest=\"{long}, {long}, {long}\""),
        ),
    ] {
        let Some((genuine, ours)) = both(|peer| scene(peer, &parameters)) else { return };
        let mut comparison = Comparison::new(format!("smtp.py, {name}"));
        comparison.same("the conversation", &readable(&genuine.0), &readable(&ours.0));
        comparison.same("the log", &genuine.1, &ours.1);
        comparison.finish();
    }
}

#[test]
fn a_mail_server_that_is_not_there_holds_up_nothing_and_is_told() {
    let Some(mut peer) = Peer::new(Who::Ours) else { return };
    peer.write("auth.log", "");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    peer.write(
        "conf/jail.local",
        &format!(
            "[gate]\nenabled = true\nfilter = dropbear\nlogpath = @DIR@/auth.log\naction = smtp.py[host=\"127.0.0.1:{closed}\"]\n         note\n"
        ),
    );
    peer.write("conf/action.d/note.conf", "[Definition]\nactionban = echo <ip> >> @DIR@/notes\n");
    peer.start();
    peer.wait_log("Failed to start jail 'gate' action 'smtp': [Errno 111] Connection refused");
    peer.client(&["set", "gate", "banip", "192.0.2.66"]);
    peer.wait_log("Failed to execute ban jail 'gate' action 'smtp'");
    assert_eq!(peer.read("notes"), "192.0.2.66\n");
    let status = peer.run("portcullis", &["status", "-c", "@DIR@/conf", "-s", "@DIR@/f2b.sock"]);
    assert!(status.status == 1 && status.stdout.contains("the last mail was not sent"), "{status}");
    peer.stop();
}
