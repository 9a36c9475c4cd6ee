//! What `fail2ban-client -d` and `-t` would print for a configuration, without the client.
//!
//! `dump -c DIR [-d] [-t]`; with `--serve`, requests as JSON lines `{"args": […]}` on stdin and answers
//! `{"code": …, "out": …, "err": …}` on stdout, so that one process can be compared with another many times.

use std::io::{BufRead, Write};

use portcullis_config::{Level, Message, Request, Source, dump, dump_pretty, read, read_server};

#[derive(Default)]
struct Answer {
    out: String,
    err: String,
    code: u8,
}

impl Answer {
    fn say(&mut self, messages: &[Message], verbose: bool) {
        let least = if verbose { Level::INFO } else { Level::WARNING };
        for message in messages.iter().filter(|message| message.level >= least) {
            self.err.push_str(&format!("{} {:7} {}\n", message.logger, message.level.word(), message.text));
        }
    }

    fn fail(mut self, text: &str) -> Self {
        self.err.push_str(&format!(" ERROR   {text}\n"));
        self.code = 255;
        self
    }
}

fn answer(args: &[String]) -> Answer {
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let directory = args.iter().position(|arg| arg == "-c").and_then(|at| args.get(at + 1));
    let source = Source::directory(directory.map_or("/etc/fail2ban", String::as_str));
    let verbose = has("-v");
    let mut answer = Answer::default();
    let mut messages = Vec::new();
    let server = read_server(&source, &mut messages);
    answer.say(&messages, verbose);
    let server = match server {
        Ok(server) => server,
        Err(failed) => {
            answer.say(&failed.messages, verbose);
            answer.out.push_str(&format!("ERROR: {}\n", failed.text));
            return answer.fail("Init of command line failed");
        }
    };
    let dumps = has("-d") || has("--dp");
    let request = Request {
        allow_no_files: dumps,
        test: has("-t"),
        jail_by_jail: has("--jail-by-jail"),
        quiet: !verbose,
        server_told: true,
        loglevel: server.loglevel,
        logtarget: server.logtarget,
        syslogsocket: server.syslogsocket,
        ..Request::default()
    };
    match read(&source, &request) {
        Err(failed) => {
            answer.say(&failed.messages, verbose);
            answer.err.push_str(&format!(" ERROR   Failed during configuration: {}\n", failed.text));
            if dumps {
                answer
                    .out
                    .push_str("ERROR: The configuration stream failed because of the invalid syntax.\n");
            }
            answer.fail(if has("-t") {
                "ERROR: test configuration failed"
            } else {
                "Init of command line failed"
            })
        }
        Ok(configuration) => {
            answer.say(&configuration.messages, verbose);
            if has("-d") {
                answer.out.push_str(&dump(&configuration.stream));
            } else if has("--dp") {
                answer.out.push_str(&dump_pretty(&configuration.stream));
            }
            if has("-t") {
                if !configuration.flawless() {
                    return answer.fail("ERROR: test configuration failed");
                }
                answer.out.push_str("OK: configuration test is successful\n");
            } else if !configuration.usable() {
                return answer.fail("Init of command line failed");
            }
            answer
        }
    }
}

fn main() -> std::io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_none_or(|arg| arg != "--serve") {
        let answer = answer(&args);
        std::io::stdout().write_all(answer.out.as_bytes())?;
        std::io::stderr().write_all(answer.err.as_bytes())?;
        std::process::exit(answer.code.into());
    }
    for line in std::io::stdin().lock().lines() {
        let request: serde_json::Value = serde_json::from_str(&line?)?;
        let args: Vec<String> = request["args"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|arg| Some(arg.as_str()?.to_owned()))
            .collect();
        if let Some(folder) = request["cwd"].as_str() {
            std::env::set_current_dir(folder)?;
        }
        let answer = answer(&args);
        println!("{}", serde_json::json!({"code": answer.code, "out": answer.out, "err": answer.err}));
    }
    Ok(())
}
