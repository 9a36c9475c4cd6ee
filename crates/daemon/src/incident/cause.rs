//! Why a banned address still gets through, and what to do about it.

use std::fmt;
use std::net::IpAddr;

/// A cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The kernel did not have the ban. Whether it has it now.
    Lost { action: String, why: String, mended: bool },
    /// He is connected to another port than the jail closes.
    OtherPort { port: u16, program: Option<String>, guarded: String },
    /// Nobody listens on the jail's ports; those who listen, on these.
    NobodyListens { guarded: String, listening: Vec<(u16, Option<String>)> },
    /// A rule before the ban's lets him pass.
    Accepted { chain: String, rule: String },
    /// A connection from before the ban, which only new packets' rules or nothing ended.
    OpenConnection { port: u16 },
    /// His packets do not come to this machine's own programs.
    Forwarded { dialled: u16, to: IpAddr, chain: String },
    /// He does not come himself: somebody brings what he says.
    Proxy { peers: Vec<IpAddr> },
    /// Nothing of his reaches this machine.
    Elsewhere,
}

impl Cause {
    /// A word for programs.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Cause::Lost { .. } => "lost",
            Cause::OtherPort { .. } => "other-port",
            Cause::NobodyListens { .. } => "nobody-listens",
            Cause::Accepted { .. } => "accepted-before",
            Cause::OpenConnection { .. } => "open-connection",
            Cause::Forwarded { .. } => "forwarded",
            Cause::Proxy { .. } => "proxy",
            Cause::Elsewhere => "elsewhere",
        }
    }

    /// Whether it was mended when it was found.
    pub(crate) fn is_mended(&self) -> bool {
        matches!(self, Cause::Lost { mended: true, .. })
    }

    /// What to do.
    pub(crate) fn remedy(&self) -> String {
        match self {
            Cause::Lost { mended: true, .. } => "It was put back; see who takes it away".to_owned(),
            Cause::Lost { .. } => "It is tried again; portcullis status tells how it went".to_owned(),
            Cause::OtherPort { port, .. } => format!("Add {port} to the jail's port, or use banaction = %(banaction_allports)s"),
            Cause::NobodyListens { listening, .. } => match &listening[..] {
                [(port, _)] => format!("Set the jail's port = {port}, or use banaction = %(banaction_allports)s"),
                _ => "Set the jail's port to the one that the service listens on".to_owned(),
            },
            Cause::Accepted { chain, .. } => {
                format!("Move that rule behind the jail's in {chain}, or use banaction = portcullis, which stands before it")
            }
            Cause::OpenConnection { .. } => "Set closeconnections = true in portcullis.conf".to_owned(),
            Cause::Forwarded { .. } => {
                "Use banaction = portcullis, which guards containers too, or chain = DOCKER-USER (FORWARD)".to_owned()
            }
            Cause::Proxy { .. } => {
                "Ban at the proxy, or let the service itself refuse the address: this machine's firewall only sees the proxy".to_owned()
            }
            Cause::Elsewhere => {
                "Look whether the log is that of another machine or of another network (a container's, a proxy's): ban there".to_owned()
            }
        }
    }
}

fn program(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!(" ({name})"))
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Lost { action, why, .. } => {
                write!(f, "the ban of action '{action}' was not in force: {why}")
            }
            Cause::OtherPort { port, program: name, guarded } => {
                write!(
                    f,
                    "connected to port {port}{}, and the jail closes {guarded}",
                    program(name.as_deref())
                )
            }
            Cause::NobodyListens { guarded, listening } => {
                write!(f, "the jail closes {guarded}, on which nothing listens")?;
                for (number, (port, name)) in listening.iter().take(8).enumerate() {
                    let word = if number == 0 { "; listening are" } else { "," };
                    write!(f, "{word} {port}{}", program(name.as_deref()))?;
                }
                Ok(())
            }
            Cause::Accepted { chain, rule } => {
                write!(f, "a rule before the jail's in {chain} lets the packets pass: {rule}")
            }
            Cause::OpenConnection { port } => {
                write!(f, "a connection to port {port} from before the ban is still open")
            }
            Cause::Forwarded { dialled, to, chain } => {
                write!(
                    f,
                    "port {dialled} is forwarded to {to} (a container?), and the ban is in {chain}, which forwarded packets do not pass"
                )
            }
            Cause::Proxy { peers } => {
                let shown: Vec<String> = peers.iter().take(4).map(ToString::to_string).collect();
                write!(
                    f,
                    "no connection of this address reaches this machine; connected to the jail's ports is {}",
                    shown.join(", ")
                )
            }
            Cause::Elsewhere => f.write_str("nothing of this address reaches this machine"),
        }
    }
}
