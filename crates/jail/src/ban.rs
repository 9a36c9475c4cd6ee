//! ban
