//! The stock action `smtp.py` of Fail2ban, without Python: a mail at the start of a jail, at each ban, and at the end, by SMTP.
//!
//! Parameters, texts and headers are those that Fail2ban 1.0.2's mails have. A mail is sent once: one that fails is told, and
//! not tried again.

mod message;
mod smtp;

use std::collections::HashMap;
use std::time::Duration;

use portcullis_jail::Ticket;
use portcullis_jail::action::{Facts, Info};
use portcullis_value::{Exception, Value};

use message::Message;
pub use smtp::MailError;

/// The file's name by which configurations refer to the action.
pub const FILE: &str = "smtp.py";
/// The action's parameters.
const PARAMETERS: [&str; 7] = ["host", "user", "password", "sendername", "sender", "dest", "matches"];
/// How long a mail may take altogether.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends the mails of one action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailer {
    host: String,
    login: Option<(String, String)>,
    sendername: String,
    sender: String,
    dest: String,
    /// Which lines a ban's mail shows, and the words before them.
    matches: Option<&'static str>,
}

impl Mailer {
    /// From the parameters of the configuration.
    ///
    /// # Errors
    /// A parameter that the action does not have, in Python's words.
    pub fn new(parameters: &[(Value, Value)]) -> Result<Self, Exception> {
        let mut given: HashMap<&str, String> = HashMap::new();
        for (name, value) in parameters {
            let name = name.as_str().unwrap_or_default();
            // What every action is given, besides its own.
            if matches!(name, "norestored" | "timeout" | "actname" | "name" | "bantime") {
                continue;
            }
            if !PARAMETERS.contains(&name) {
                let text = format!("SMTPAction.__init__() got an unexpected keyword argument '{name}'");
                return Err(Exception::builtin("TypeError", text));
            }
            if *value != Value::None {
                given.insert(name, value.to_string());
            }
        }
        let mut take = |name: &str, default: &str| given.remove(name).unwrap_or_else(|| default.to_owned());
        let matches = match take("matches", "").as_str() {
            "matches" => Some("matches"),
            "ipmatches" => Some("ipmatches"),
            "ipjailmatches" => Some("ipjailmatches"),
            _ => None,
        };
        let (user, password) = (take("user", ""), take("password", ""));
        Ok(Mailer {
            host: take("host", "localhost"),
            login: (!user.is_empty() && !password.is_empty()).then_some((user, password)),
            sendername: take("sendername", "Fail2Ban"),
            sender: take("sender", "fail2ban"),
            dest: take("dest", "root"),
            matches,
        })
    }

    /// The jail has started.
    ///
    /// # Errors
    /// Why no mail was sent.
    pub fn started(&self, facts: &dyn Facts) -> Result<String, MailError> {
        let jail = facts.jail();
        let text = format!("Hi,\n\nThe jail {jail} has been started successfully.\n\nRegards,\nFail2Ban");
        self.send(&format!("{jail}: started on {}", facts.own_host(false)), text)
    }

    /// The jail has stopped.
    ///
    /// # Errors
    /// Why no mail was sent.
    pub fn stopped(&self, facts: &dyn Facts) -> Result<String, MailError> {
        let jail = facts.jail();
        let text = format!("Hi,\n\nThe jail {jail} has been stopped.\n\nRegards,\nFail2Ban");
        self.send(&format!("{jail}: stopped on {}", facts.own_host(false)), text)
    }

    /// Somebody is banned.
    ///
    /// # Errors
    /// Why no mail was sent.
    pub fn banned(&self, ticket: &Ticket, facts: &dyn Facts) -> Result<String, MailError> {
        let (info, jail) = (Info::ticket(ticket, facts), facts.jail());
        let value = |tag| info.value(tag).unwrap_or_default();
        let ip = value("ip");
        let mut text = format!(
            "Hi,\n\nThe IP {ip} has just been banned for {} seconds\nby Fail2Ban after {} attempts against {jail}.\n\n",
            value("bantime"),
            value("failures")
        );
        if let Some(tag) = self.matches {
            let which = match tag {
                "matches" => "this ban".to_owned(),
                "ipmatches" => ip.clone(),
                _ => format!("{ip} for jail {jail}"),
            };
            text.push_str(&format!("Matches for {which}:\n{}\n\n", value(tag)));
        }
        text.push_str("Regards,\nFail2Ban");
        self.send(&format!("{jail}: banned {ip} from {}", facts.own_host(false)), text)
    }

    /// Sends a mail; answers its subject.
    fn send(&self, about: &str, text: String) -> Result<String, MailError> {
        let subject = format!("[Fail2Ban] {about}");
        let from = (self.sendername.as_str(), self.sender.as_str());
        let message = Message { subject: &subject, from, to: &self.dest, text: &text };
        let login = self.login.as_ref().map(|(user, password)| (user.as_str(), password.as_str()));
        let recipients: Vec<&str> =
            self.dest.split(',').map(str::trim).filter(|dest| !dest.is_empty()).collect();
        smtp::send(
            &self.host,
            login,
            &self.sender,
            &recipients,
            &message.bytes(jiff::Timestamp::now()),
            PATIENCE,
        )?;
        Ok(subject)
    }
}
