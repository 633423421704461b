//! Prints docs/apis.md.

fn main() {
    print!("{}", shore_broker::api::apis_markdown());
}
