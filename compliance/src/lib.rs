//! Runs one test against the genuine Fail2ban and against us, and shows the difference.
