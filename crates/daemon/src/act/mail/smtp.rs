//! The client's part of SMTP (RFC 5321) with a login (RFC 4954), as much as it takes to hand over one mail.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use md5::{Digest, Md5};

use super::message::{base64, unbase64};

/// The ways to log in that we know; Python prefers the first.
const LOGINS: [&str; 3] = ["CRAM-MD5", "PLAIN", "LOGIN"];
/// A line of an answer is this long at most.
const LONGEST_LINE: u64 = 4096;
/// An answer has this many lines at most.
const MOST_LINES: usize = 100;

/// Why a mail was not handed over.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// No connection, or it broke.
    #[error("{0}")]
    Io(String),
    /// The server refused something.
    #[error("the mail server refuses {what}: {answer}")]
    Refused {
        /// What was wanted.
        what: &'static str,
        /// The server's words.
        answer: String,
    },
    /// The server has no way to log in that we know.
    #[error(
        "the mail server takes no login with CRAM-MD5, PLAIN or LOGIN (it offers: {0}). Leave out user and password, or use action = mail or sendmail"
    )]
    Login(String),
}

impl From<std::io::Error> for MailError {
    fn from(error: std::io::Error) -> Self {
        MailError::Io(crate::start::python_error(&error))
    }
}

struct Connection {
    stream: BufReader<TcpStream>,
    deadline: Instant,
}

/// Code and lines.
type Answer = (u16, Vec<String>);

/// Hands over a mail to the server at `host` (`HOST` or `HOST:PORT`).
pub(super) fn send(
    host: &str,
    login: Option<(&str, &str)>,
    sender: &str,
    recipients: &[&str],
    mail: &[u8],
    patience: Duration,
) -> Result<(), MailError> {
    let mut server = Connection::open(host, Instant::now() + patience)?;
    server.expect("the connection", 220)?;
    let (code, offers) = server.ask(&format!("ehlo {}", own_name()))?;
    let offers = if code == 250 {
        offers
    } else {
        server.told("the greeting", 250, &format!("helo {}", own_name()))?;
        Vec::new()
    };
    if let Some((user, password)) = login {
        server.log_in(&offers, user, password)?;
    }
    let has_size = offers.iter().any(|offer| offer.to_ascii_uppercase().starts_with("SIZE"));
    let size = if has_size { format!(" size={}", mail.len()) } else { String::new() };
    server.told("the sender", 250, &format!("mail FROM:<{}>{size}", bare(sender)))?;
    let mut refused = None;
    let mut taken = 0;
    for recipient in recipients {
        match server.ask(&format!("rcpt TO:<{}>", bare(recipient)))? {
            (250 | 251, _) => taken += 1,
            (code, lines) => refused = Some(format!("{code} {}", lines.join(" "))),
        }
    }
    // As long as one of them takes it, it is sent.
    if let Some(answer) = refused.filter(|_| taken == 0) {
        return Err(MailError::Refused { what: "all recipients", answer });
    }
    server.told("the mail", 354, "data")?;
    server.write(&dotted(mail))?;
    server.expect("the mail", 250)?;
    // It has the mail; how it says good-bye does not matter.
    let _ = server.ask("quit");
    Ok(())
}

impl Connection {
    fn open(host: &str, deadline: Instant) -> Result<Self, MailError> {
        let with_port = match host.rsplit_once(':') {
            Some((_, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
                host.to_owned()
            }
            _ => format!("{host}:25"),
        };
        let mut last = MailError::Io(format!("no address for {host}"));
        for address in with_port.to_socket_addrs()? {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            match TcpStream::connect_timeout(&address, left) {
                Ok(stream) => return Ok(Connection { stream: BufReader::new(stream), deadline }),
                Err(error) => last = error.into(),
            }
        }
        Err(last)
    }

    /// So long the next read or write may take.
    fn hurry(&mut self) -> Result<(), MailError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(MailError::Io("the mail server takes too long".to_owned()));
        }
        self.stream.get_ref().set_read_timeout(Some(left))?;
        Ok(self.stream.get_ref().set_write_timeout(Some(left))?)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), MailError> {
        self.hurry()?;
        Ok(self.stream.get_mut().write_all(bytes)?)
    }

    fn ask(&mut self, line: &str) -> Result<Answer, MailError> {
        self.write(format!("{line}\r\n").as_bytes())?;
        self.answer()
    }

    fn answer(&mut self) -> Result<Answer, MailError> {
        let mut lines = Vec::new();
        while lines.len() < MOST_LINES {
            self.hurry()?;
            let mut line = Vec::new();
            if self.stream.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
                return Err(MailError::Io("Connection unexpectedly closed".to_owned()));
            }
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let code = line.get(..3).and_then(|code| code.parse().ok());
            let Some(code) = code else {
                return Err(MailError::Io(format!("no answer of a mail server: {line}")));
            };
            lines.push(line.get(4..).unwrap_or_default().to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok((code, lines));
            }
        }
        Err(MailError::Io("the mail server talks too much".to_owned()))
    }

    fn expect(&mut self, what: &'static str, wanted: u16) -> Result<Vec<String>, MailError> {
        match self.answer()? {
            (code, lines) if code == wanted => Ok(lines),
            (code, lines) => Err(MailError::Refused { what, answer: format!("{code} {}", lines.join(" ")) }),
        }
    }

    fn told(&mut self, what: &'static str, wanted: u16, line: &str) -> Result<Vec<String>, MailError> {
        self.write(format!("{line}\r\n").as_bytes())?;
        self.expect(what, wanted)
    }

    /// Logs in, in the first way that the server offers and accepts, in the order of Python's `smtplib`.
    fn log_in(&mut self, offers: &[String], user: &str, password: &str) -> Result<(), MailError> {
        let ways = offers
            .iter()
            .find_map(|offer| offer.to_ascii_uppercase().strip_prefix("AUTH").map(str::to_owned));
        let ways = ways.unwrap_or_default();
        let has = |way: &str| ways.split([' ', '=']).any(|offered| offered == way);
        let none = if ways.is_empty() { "nothing".to_owned() } else { ways.trim().to_owned() };
        let mut failed = MailError::Login(none);
        for way in LOGINS.into_iter().filter(|way| has(way)) {
            let answer = match way {
                "PLAIN" => {
                    let secret = base64(format!("\0{user}\0{password}").as_bytes());
                    self.ask(&format!("AUTH PLAIN {secret}"))?
                }
                "LOGIN" => match self.ask(&format!("AUTH LOGIN {}", base64(user.as_bytes())))? {
                    (334, _) => self.ask(&base64(password.as_bytes()))?,
                    refused => refused,
                },
                _ => match self.ask("AUTH CRAM-MD5")? {
                    (334, lines) => {
                        let challenge = unbase64(lines.last().map_or("", String::as_str));
                        let answer = challenge_answer(user, password, &challenge);
                        self.ask(&base64(answer.as_bytes()))?
                    }
                    refused => refused,
                },
            };
            match answer {
                // 503: somebody is logged in already.
                (235 | 503, _) => return Ok(()),
                (code, lines) => {
                    let answer = format!("{code} {}", lines.join(" "));
                    failed = MailError::Refused { what: "the login", answer };
                }
            }
        }
        Err(failed)
    }
}

/// What answers a challenge of CRAM-MD5 (RFC 2195): the user, and the challenge's HMAC (RFC 2104) under the password.
fn challenge_answer(user: &str, password: &str, challenge: &[u8]) -> String {
    /// Bytes that MD5 takes at a time.
    const BLOCK: usize = 64;
    let mut key = password.as_bytes().to_vec();
    if key.len() > BLOCK {
        key = Md5::digest(&key).to_vec();
    }
    key.resize(BLOCK, 0);
    let padded = |pad: u8| -> Vec<u8> { key.iter().map(|byte| byte ^ pad).collect() };
    let inner = Md5::new().chain_update(padded(0x36)).chain_update(challenge).finalize();
    let outer = Md5::new().chain_update(padded(0x5c)).chain_update(inner).finalize();
    let digits: String = outer.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{user} {digits}")
}

/// The address alone, of `Name <address>` too, on one line.
fn bare(address: &str) -> String {
    let address = address.rsplit_once('<').map_or(address, |(_, rest)| rest.trim_end().trim_end_matches('>'));
    address.chars().filter(|c| !c.is_control()).collect()
}

/// A line that is a dot would end the mail.
fn dotted(mail: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(mail.len() + 8);
    for line in mail.split_inclusive(|byte| *byte == b'\n') {
        if line.first() == Some(&b'.') {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !mail.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

/// A full name of this machine, or an address in its place, as Python's `smtplib` introduces itself.
fn own_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if host.contains('.') {
        return host;
    }
    let address = (host.as_str(), 0).to_socket_addrs().ok().and_then(|mut found| {
        found.find_map(|address| if let IpAddr::V4(v4) = address.ip() { Some(v4) } else { None })
    });
    let loopback = Ipv4Addr::LOCALHOST;
    // Debian gives a machine's own name an address of the loopback.
    format!("[{}]", address.filter(|address| !address.is_loopback()).unwrap_or(loopback))
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 2195, section 2.
    #[test]
    fn challenges_are_answered_as_in_the_rfc() {
        let challenge = b"<1896.697170952@postoffice.reston.mci.net>";
        let answer = challenge_answer("tim", "tanstaaftanstaaf", challenge);
        assert_eq!(answer, "tim b913a602c7eda7a495b4e6e7334d3890");
        let long = "\u{7f}".repeat(80);
        assert_eq!(challenge_answer("x", &long, b"").len(), 34);
    }

    #[test]
    fn a_line_that_is_a_dot_does_not_end_the_mail() {
        assert_eq!(dotted(b"a\r\n.\r\n..b\r\n"), b"a\r\n..\r\n...b\r\n.\r\n");
    }

    #[test]
    fn an_address_stays_one() {
        assert_eq!(bare("Root <root@example.org>"), "root@example.org");
        assert_eq!(bare("root\r\nRCPT TO:<x@example.org"), "x@example.org");
        assert_eq!(bare("root"), "root");
    }
}
