//! The control socket under bad company: nothing that arrives is obeyed, nobody is kept out, nothing delays a ban.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use portcullis_compliance::{Comparison, Peer, Who, both, wait_for};

const END: &[u8] = b"<F2B_END_COMMAND>";
/// Generous: a loaded machine is slow, a client that is kept out waits for ever.
const PATIENCE: Duration = Duration::from_secs(20);

fn prepare(peer: &Peer) {
    peer.write("conf/filter.d/fails.conf", "[Definition]\nfailregex = ^\\s*fail from <HOST>$\n");
    peer.write(
        "conf/jail.d/socket.conf",
        "[DEFAULT]\nbackend = auto\naction =\nfilter = fails\nmaxretry = 1\n[web]\nenabled = true\nlogpath = @DIR@/web.log\n",
    );
    peer.write("web.log", "");
}

fn ours(settings: &str) -> Option<Peer> {
    let mut peer = Peer::new(Who::Ours)?;
    prepare(&peer);
    peer.write("conf/portcullis.conf", settings);
    peer.start();
    Some(peer)
}

/// A list of words as a pickle of protocol 0, with its terminator.
fn request(words: &[&str]) -> Vec<u8> {
    let words: String = words.iter().map(|word| format!("S'{word}'\n")).collect();
    [format!("({words}l.").as_bytes(), END].concat()
}

fn connect(peer: &Peer) -> UnixStream {
    let stream = UnixStream::connect(peer.path("f2b.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads one answer. `None` when the server has closed the connection.
fn answer(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut got = Vec::new();
    let mut part = [0; 8192];
    while !got.ends_with(END) {
        match stream.read(&mut part) {
            Ok(0) => return None,
            Ok(length) => got.extend(&part[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("no answer: {error}"),
        }
    }
    Some(got)
}

fn ask(stream: &mut UnixStream, words: &[&str]) -> Vec<u8> {
    stream.write_all(&request(words)).unwrap();
    answer(stream).unwrap()
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// From a failure's line in the log to its ban.
fn ban_latency(peer: &Peer, number: u32) -> Duration {
    let ban = format!("[web] Ban 203.0.113.{number}\n");
    let begin = Instant::now();
    let now = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
    peer.append("web.log", &format!("{now} fail from 203.0.113.{number}\n"));
    let banned = wait_for(PATIENCE, || peer.log().contains(&ban).then_some(()));
    assert!(banned.is_some(), "no ban of 203.0.113.{number}:\n{}", peer.log());
    begin.elapsed()
}

#[test]
fn the_socket_is_root_s_alone_as_fail2ban_s_is() {
    let run = |peer: &mut Peer| {
        prepare(peer);
        std::fs::remove_dir_all(peer.path("run")).ok();
        peer.write(
            "conf/fail2ban.local",
            "[Definition]\npidfile = @DIR@/f2b.pid\ndbfile = None\nlogtarget = @DIR@/fail2ban.log\n",
        );
        let started = peer.run(
            "fail2ban-client",
            &["-c", "@DIR@/conf", "-s", "@DIR@/run/f2b.sock", "-p", "@DIR@/f2b.pid", "start"],
        );
        let told = ["run", "run/f2b.sock", "f2b.pid", "fail2ban.log"].map(|file| {
            let meta = std::fs::metadata(peer.path(file)).unwrap();
            format!("{file} {:o} {}", meta.permissions().mode() & 0o7777, meta.file_type().is_socket())
        });
        (started.masked().stdout, told.join("\n"))
    };
    let Some((theirs, ours)) = both(run) else { return };
    let mut comparison = Comparison::new("modes of the socket and its neighbours");
    comparison.same("start", &theirs.0, &ours.0);
    comparison.same("modes", &theirs.1, &ours.1);
    comparison.finish();
}

#[test]
fn nothing_that_arrives_is_imported_or_called() {
    let Some(peer) = ours("") else { return };
    let mark = peer.path("called");
    let mark = mark.to_str().unwrap();
    let mut stream = connect(&peer);
    let hostile = [
        // os.system('touch …') in the ways that pickle knows: GLOBAL, STACK_GLOBAL, INST, OBJ, NEWOBJ, BUILD.
        format!("cos\nsystem\n(S'touch {mark}'\ntR."),
        format!("\u{80}\u{4}\u{8c}\u{2}os\u{8c}\u{6}system\u{93}(S'touch {mark}'\ntR."),
        format!("(S'touch {mark}'\nios\nsystem\n."),
        format!("(cos\nsystem\nS'touch {mark}'\no."),
        format!("cos\nsystem\n(S'touch {mark}'\nt\u{81}."),
        format!("cbuiltins\neval\n(S'open(\"{mark}\", \"w\")'\ntR."),
        "cbuiltins\nobject\n)\u{81}}}b.".to_owned(),
        "cfail2ban.exceptions\nUnknownJailException\n(S'x'\ntR.".to_owned(),
        "Pid\n.".to_owned(),
    ];
    for pickle in &hostile {
        // Bytes above 127 are one each.
        let bytes: Vec<u8> = pickle.chars().map(|c| c as u8).collect();
        stream.write_all(&[&bytes[..], END].concat()).unwrap();
        let answer = answer(&mut stream).unwrap();
        assert!(contains(&answer, "ERROR: "), "{pickle:?}: {}", String::from_utf8_lossy(&answer));
        assert!(!contains(&answer, "pong"));
    }
    // Nested, circular, multiplied, endless.
    let laughs = ["]q\0", &"(h\0h\0h\0h\0h\0h\0h\0h\0h\0h\0lq\0".repeat(20), "."].concat();
    let bombs = ["(".repeat(5000) + &"l".repeat(5000) + ".", "]q\0h\0a.".into(), laughs, "2".repeat(100_000)];
    for bomb in &bombs {
        stream.write_all(&[bomb.as_bytes(), END].concat()).unwrap();
        let answer = answer(&mut stream).unwrap();
        assert!(contains(&answer, "ERROR: "), "{bomb:.40?}: {}", String::from_utf8_lossy(&answer));
    }
    // The connection is as good as before, and each refusal was told.
    assert!(contains(&ask(&mut stream, &["ping"]), "pong"));
    assert!(!peer.path("called").exists());
    let told = peer.log().matches("PROTO-error: load message failed: ").count();
    // Repeated errors are counted from the eleventh on.
    assert!(told >= 10, "{told}: {}", peer.log());
    assert!(peer.log().contains("a pickle must hold plain data, not os.system"), "{}", peer.log());
}

#[test]
fn an_endless_request_is_cut_off() {
    let Some(peer) = ours("") else { return };
    let mut stream = connect(&peer);
    let megabyte = vec![b'x'; 1 << 20];
    let refused = (0..100).any(|_| stream.write_all(&megabyte).is_err());
    assert!(refused, "100 MiB without an end were taken");
    assert!(contains(&ask(&mut connect(&peer), &["ping"]), "pong"));
    assert!(peer.log().contains("message is longer than"), "{}", peer.log());
}

#[test]
fn a_thousand_silent_connections_keep_nobody_out_and_delay_no_ban() {
    let Some(peer) = ours("") else { return };
    rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit { current: Some(4096), maximum: Some(4096) },
    )
    .unwrap();
    // Something to answer with: `banned` is 40 KB then.
    let addresses: Vec<String> = (0..3000).map(|n| format!("198.18.{}.{}", n / 250, n % 250)).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let banned = ask(&mut connect(&peer), &[&["set", "web", "banip"], &addresses[..]].concat());
    assert!(!contains(&banned, "Exception"));
    let stop = AtomicBool::new(false);
    let worst = std::thread::scope(|scope| {
        // Connects that wait in the socket's queue block: they have a thread.
        scope.spawn(|| {
            let mut kept: Vec<UnixStream> = Vec::new();
            for number in 0..1000 {
                let Ok(mut stream) = UnixStream::connect(peer.path("f2b.sock")) else { continue };
                stream.set_write_timeout(Some(Duration::from_millis(10))).unwrap();
                match number % 5 {
                    // Half a request; and then a byte now and then.
                    0 | 1 => drop(stream.write_all(b"(S'pi")),
                    // Many requests, and no answer is read.
                    2 => drop((0..200).try_for_each(|_| stream.write_all(&request(&["banned"])))),
                    // Half a request, and gone.
                    3 => {
                        let _ = stream.write_all(b"(S'ping'\nl.<F2B_END");
                        continue;
                    }
                    _ => {}
                }
                kept.push(stream);
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
            while !stop.load(Ordering::Relaxed) {
                for stream in &mut kept {
                    let _ = stream.write(b"x");
                }
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        let mut worst = Duration::ZERO;
        for number in 1..=10 {
            let begin = Instant::now();
            let status = ask(&mut connect(&peer), &["status"]);
            assert!(contains(&status, "Jail list"));
            worst = worst.max(begin.elapsed());
            worst = worst.max(ban_latency(&peer, number));
            std::thread::sleep(Duration::from_millis(50));
        }
        stop.store(true, Ordering::Relaxed);
        worst
    });
    println!("the slowest answer or ban took {worst:?}");
    assert!(worst < PATIENCE, "{worst:?}");
    let threads = std::fs::read_dir(format!("/proc/{}/task", peer.pid().unwrap())).unwrap().count();
    assert!(threads < 300, "{threads} threads");
}

#[test]
fn a_flood_of_questions_delays_no_ban() {
    let Some(peer) = ours("") else { return };
    let stop = AtomicBool::new(false);
    let calm: Duration = (1..=10).map(|number| ban_latency(&peer, number)).max().unwrap();
    let (flooded, asked) = std::thread::scope(|scope| {
        let floods: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut stream = connect(&peer);
                    let mut asked = 0;
                    while !stop.load(Ordering::Relaxed) {
                        // Twenty at a time: the jail is never without a question.
                        stream.write_all(&request(&["status", "web"]).repeat(20)).unwrap();
                        let mut got: Vec<u8> = Vec::new();
                        let mut part = [0; 8192];
                        while got.windows(END.len()).filter(|window| *window == END).count() < 20 {
                            let length = stream.read(&mut part).unwrap();
                            assert!(length > 0, "closed");
                            got.extend(&part[..length]);
                        }
                        asked += 20;
                    }
                    asked
                })
            })
            .collect();
        let flooded = (11..=40).map(|number| ban_latency(&peer, number)).max().unwrap();
        stop.store(true, Ordering::Relaxed);
        (flooded, floods.into_iter().map(|flood| flood.join().unwrap()).sum::<u32>())
    });
    println!("slowest ban: {calm:?} in the calm, {flooded:?} with {asked} questions");
    assert!(flooded < calm + Duration::from_secs(2), "{calm:?}, then {flooded:?}");
}

/// What Python shows of the answers to these requests, asked by a user and group of these numbers; or why it cannot connect.
fn asked_by(uid: u32, gid: u32, peer: &Peer, requests: &[&[&str]]) -> String {
    let program = "
import json, pickle, socket, sys
end = b'<F2B_END_COMMAND>'
server = socket.socket(socket.AF_UNIX)
server.settimeout(20)
try: server.connect(sys.argv[1])
except OSError as error: sys.exit(str(error))
for request in json.loads(sys.argv[2]):
    server.sendall(pickle.dumps(request) + end)
    got = b''
    while not got.endswith(end): got += server.recv(65536) or sys.exit('closed')
    print(pickle.loads(got))
";
    let ids = [format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".into()];
    let output = Command::new("setpriv")
        .args(ids)
        .args(["/usr/bin/python3", "-c", program])
        .arg(peer.path("f2b.sock"))
        .arg(serde_json::to_string(requests).unwrap())
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn members_of_the_socketgroup_may_look_and_nothing_else() {
    let Some(peer) = ours("[DEFAULT]\nsocketgroup = 54321\n") else { return };
    let reads: [&[&str]; 6] =
        [&["ping"], &["status"], &["status", "web"], &["banned"], &["get", "web", "maxretry"], &["stats"]];
    let said = asked_by(12345, 54321, &peer, &reads);
    assert!(said.starts_with("(0, 'pong')\n") && said.lines().count() == 6, "{said}");
    assert!(said.lines().all(|line| line.starts_with("(0, ")), "{said}");
    let writes: [&[&str]; 5] = [
        &["set", "web", "banip", "192.0.2.1"],
        &["unban", "--all"],
        &["set", "loglevel", "DEBUG"],
        &["get", "web", "action", "act", "actionban"],
        &["stop"],
    ];
    let said = asked_by(12345, 54321, &peer, &writes);
    assert_eq!(said.matches("(1, PermissionError('permission denied: ").count(), 5, "{said}");
    assert!(peer.log().contains("refused the user 12345 "), "{}", peer.log());
    // Who is not in the group cannot even connect; root may everything.
    assert!(asked_by(12345, 12345, &peer, &[&["ping"]]).contains("[Errno 13]"));
    assert_eq!(asked_by(0, 0, &peer, &[&["banned"]]), "(0, [{'web': []}])\n");
    assert_eq!(peer.client(&["ping"]).stdout, "Server replied: pong\n");
}

#[test]
fn without_a_socketgroup_others_may_nothing_however_open_the_socket_is() {
    let Some(peer) = ours("") else { return };
    assert!(asked_by(12345, 54321, &peer, &[&["ping"]]).contains("[Errno 13]"));
    for (path, mode) in [("", 0o711), ("f2b.sock", 0o777)] {
        std::fs::set_permissions(peer.path(path), PermissionsExt::from_mode(mode)).unwrap();
    }
    let said = asked_by(12345, 54321, &peer, &[&["ping"], &["status"], &["stop"]]);
    assert_eq!(said.matches("(1, PermissionError('permission denied: ").count(), 3, "{said}");
    assert!(said.contains("socketgroup"), "{said}");
    assert_eq!(peer.client(&["ping"]).stdout, "Server replied: pong\n");
}

#[test]
fn a_socketgroup_that_does_not_exist_is_told_and_opens_nothing() {
    let Some(peer) = ours("[DEFAULT]\nsocketgroup = no-such-group\n") else { return };
    assert!(peer.log().contains("socketgroup = no-such-group: there is no group"), "{}", peer.log());
    let mode = std::fs::metadata(peer.path("f2b.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700);
}
