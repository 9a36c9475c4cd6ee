//! The portcullis program.
mod status;
fn main() {
    let _ = status::NOT_RUNNING;
    let _ = status::show;
}
