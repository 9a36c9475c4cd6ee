//! The two readers of configurations: the genuine client in a warm interpreter, and our library behind the client's words.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use portcullis_compliance::{Peer, Who, workspace};
use portcullis_config::{Level, Message, Request, Source, dump, dump_pretty, read, read_server};
use regex::Regex;

/// What a client said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) code: i64,
    pub(crate) out: String,
    /// Without times and process ids.
    pub(crate) err: String,
}

impl Answer {
    /// All of it as one text, for comparing.
    pub(crate) fn text(&self) -> String {
        format!("exit {}\n{}--- stderr\n{}", self.code, self.out, self.err)
    }
}

/// The genuine client.
pub(crate) struct Genuine {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    prefix: Regex,
}

/// Where the genuine program lies unpacked: `$GENUINE`, or where the harness puts it. `None`: the test is skipped.
pub(crate) fn genuine_root() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("GENUINE") {
        return Some(Path::new(&path).join("root"));
    }
    Peer::new(Who::Genuine)?;
    Some(workspace().join("target/genuine/root"))
}

impl Genuine {
    pub(crate) fn new(root: &Path) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config_dump/warm.py");
        let mut process = Command::new("/usr/bin/python3")
            .arg(script)
            .arg(root.join("usr/bin/fail2ban-client"))
            .env("PYTHONPATH", root.join("usr/lib/python3/dist-packages"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let prefix = Regex::new(r"(?m)^[0-9-]+ [0-9:,]+ fail2ban\.?(\w*) *\[[0-9]+\]: ").unwrap();
        Genuine { process, input, output, prefix }
    }

    pub(crate) fn ask(&mut self, args: &[&str]) -> Answer {
        writeln!(self.input, "{}", serde_json::json!({ "args": args })).unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let answer: serde_json::Value = serde_json::from_str(&line).expect("the genuine client died");
        let text = |key: &str| answer[key].as_str().unwrap().to_owned();
        Answer {
            code: answer["code"].as_i64().unwrap(),
            out: text("out"),
            // Which of Python's calls hits the limit depends on how deep the interpreter itself is in calls already.
            err: self
                .prefix
                .replace_all(&text("err"), "$1 ")
                .replace("depth exceeded while calling a Python object", "depth exceeded")
                .replace("depth exceeded", "depth exceeded while calling a Python object"),
        }
    }
}

impl Drop for Genuine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Answer {
    fn say(&mut self, messages: &[Message]) {
        for message in messages.iter().filter(|message| message.level >= Level::WARNING) {
            self.err.push_str(&format!("{} {:7} {}\n", message.logger, message.level.word(), message.text));
        }
    }

    fn fail(mut self, text: &str) -> Self {
        self.err.push_str(&format!(" ERROR   {text}\n"));
        self.code = 255;
        self
    }
}

/// What our client has to say for `-c DIRECTORY` and some of `-d`, `--dp`, `-t`.
pub(crate) fn ours(directory: &str, flags: &[&str]) -> Answer {
    let mut answer = Answer::default();
    let source = Source::directory(directory);
    let mut messages = Vec::new();
    let server = read_server(&source, &mut messages);
    answer.say(&messages);
    let server = match server {
        Ok(options) if !valid_level(options.loglevel.as_deref().unwrap_or("INFO")) => {
            answer
                .out
                .push_str(&format!("ERROR: Invalid log level {}\n", quoted(&options.loglevel.unwrap())));
            return answer.fail("Init of command line failed");
        }
        Ok(options) => options,
        Err(failed) => {
            answer.say(&failed.messages);
            answer.out.push_str(&format!("ERROR: {}\n", failed.text));
            return answer.fail("Init of command line failed");
        }
    };
    let has = |flag: &str| flags.contains(&flag);
    let test = has("-t");
    let request = Request {
        allow_no_files: !test || flags.len() > 1,
        test,
        loglevel: server.loglevel,
        logtarget: server.logtarget,
        syslogsocket: server.syslogsocket,
        server_told: true,
        ..Request::default()
    };
    let configuration = match read(&source, &request) {
        Ok(configuration) => configuration,
        Err(failed) => {
            answer.say(&failed.messages);
            answer.err.push_str(&format!(" ERROR   Failed during configuration: {}\n", failed.text));
            if request.allow_no_files {
                answer
                    .out
                    .push_str("ERROR: The configuration stream failed because of the invalid syntax.\n");
            }
            return answer.fail(if test {
                "ERROR: test configuration failed"
            } else {
                "Init of command line failed"
            });
        }
    };
    answer.say(&configuration.messages);
    if has("-d") {
        answer.out.push_str(&dump(&configuration.stream));
    } else if has("--dp") {
        answer.out.push_str(&dump_pretty(&configuration.stream));
    }
    if test {
        if !configuration.flawless() {
            return answer.fail("ERROR: test configuration failed");
        }
        answer.out.push_str("OK: configuration test is successful\n");
    } else if !configuration.usable() {
        return answer.fail("Init of command line failed");
    }
    answer
}

fn valid_level(level: &str) -> bool {
    let names =
        ["CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG", "TRACEDEBUG", "HEAVYDEBUG", "MSG"];
    names.iter().any(|name| level.eq_ignore_ascii_case(name)) || level.parse::<u32>().is_ok()
}

fn quoted(text: &str) -> String {
    portcullis_value::Value::from(text).repr()
}
