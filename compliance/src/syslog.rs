//! Lines as services have them written, by rsyslog in its traditional format, now.

use std::fmt::Display;

/// A line of the log, with its end.
pub fn logged(message: impl Display) -> String {
    format!("{} gate {message}\n", jiff::Zoned::now().strftime("%b %e %H:%M:%S"))
}

/// A wrong password from there, as dropbear tells it.
pub fn wrong_password(from: impl Display) -> String {
    let mut from = from.to_string();
    if from.contains(':') {
        from = format!("[{from}]");
    }
    logged(format_args!("dropbear[4711]: Bad password attempt for 'root' from {from}:40000"))
}
