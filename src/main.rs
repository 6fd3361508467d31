//! The `edgezero` binary.

fn main() {
    std::process::exit(edgezero::cli::main());
}
