//! The command line: one file a subcommand, each parses, calls and prints; no logic lives here.
//!
//! A new subcommand is a file with `pub(super) struct XArgs` (argh) and `pub(super) fn run(args: XArgs, ctx: &Context) -> Result<()>`,
//! a `mod` line and a line in `commands!` below. Results go to stdout with `outln!`, talk to stderr with `log`.

mod args;
mod log_file;
mod out;
mod progress;

mod analysis;
mod bench;
mod bench_gpu;
mod bench_search;
mod convert;
mod doctor;
mod evaluator;
mod gtp;
mod inspect;
mod match_;
mod play;
mod profiles;
mod replay;
mod stats;
mod train;
mod verify;

commands! {
    Replay(replay::ReplayArgs) = replay::run,
    Convert(convert::ConvertArgs) = convert::run,
    Inspect(inspect::InspectArgs) = inspect::run,
    Stats(stats::StatsArgs) = stats::run,
    Verify(verify::VerifyArgs) = verify::run,
    Train(train::TrainArgs) = train::run,
    Gtp(gtp::GtpArgs) = gtp::run,
    Play(play::PlayArgs) = play::run,
    Match(match_::MatchArgs) = match_::run,
    Analysis(analysis::AnalysisArgs) = analysis::run,
    Doctor(doctor::DoctorArgs) = doctor::run,
    Profiles(profiles::ProfilesArgs) = profiles::run,
    Bench(bench::BenchArgs) = bench::run,
}

use crate::base::signal::Stop;
use crate::base::{Error, Result};
use crate::compute::Precision;
use crate::device::memory::keep_to_one_heap;
use crate::device::nvml::Place;
use crate::device::{Budget, Machine, Tree, Watch};
use crate::infer::backend::{Backend, BackendChoice, parse_gpus};
use crate::profile::{self, Profile};
use argh::{FromArgs, SubCommands};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Threads of a run beside those that compute, read or gather: signals, the watch, progress, the program's own.
const THREADS_BESIDE: usize = 4;

/// The enum of subcommands and the call of each.
macro_rules! commands {
    ($($variant:ident($args:ty) = $run:path,)*) => {
        #[derive(argh::FromArgs)]
        #[argh(subcommand)]
        enum Command { $($variant($args),)* }

        impl Command {
            fn run(self, ctx: &Context) -> Result<()> {
                match self { $(Command::$variant(args) => $run(args, ctx),)* }
            }
        }
    };
}
use commands;

/// Turns Go game records into an opponent, on the board that will play it.
///
/// Main commands in their order: convert, train, gtp.
#[derive(FromArgs)]
struct Args {
    /// budgets and defaults: a name (see `edgezero profiles`), a TOML file, or auto (the default), which looks at the machine
    #[argh(option, default = "String::from(\"auto\")")]
    profile: String,
    /// what computes: auto (the default), tensorrt, cuda or cpu
    #[argh(option, default = "BackendChoice::Auto", from_str_fn(backend))]
    backend: BackendChoice,
    /// GPUs by their numbers, such as 0,1; the default is the first
    #[argh(option, from_str_fn(gpus))]
    gpus: Option<Gpus>,
    /// what convolutions round to: auto, f32, f16 or bf16, the default is the profile's; auto is f16 to play and bf16 to train
    /// on a GPU, f32 on the processor, where f16 is for play on cores that have it (Xavier, Orin)
    #[argh(option, from_str_fn(precision))]
    precision: Option<Rounding>,
    /// threads of the CPU backend; the default is the profile's cores, as far as they are there
    #[argh(option)]
    threads: Option<usize>,
    /// also write what is said on stderr to this file, with times; at 1 MiB it becomes FILE.1
    #[argh(option, arg_name = "file")]
    log_file: Option<PathBuf>,
    /// say more on stderr; twice for everything
    #[argh(switch, short = 'v')]
    verbose: u8,
    /// print name and version
    #[argh(switch)]
    #[allow(dead_code, reason = "for the help text; answered before a command is looked for")]
    version: bool,
    #[argh(subcommand)]
    command: Command,
}

fn backend(text: &str) -> std::result::Result<BackendChoice, String> {
    BackendChoice::parse(text).map_err(|e| e.what().to_string())
}

/// A precision, if one was asked for.
struct Rounding(Option<Precision>);

fn precision(text: &str) -> std::result::Result<Rounding, String> {
    Precision::parse(text).map(Rounding).map_err(|e| e.what().to_string())
}

/// A list that is one option.
struct Gpus(Vec<usize>);

fn gpus(text: &str) -> std::result::Result<Gpus, String> {
    parse_gpus(text).map(Gpus).map_err(|e| e.what().to_string())
}

/// What every subcommand is given.
pub(super) struct Context {
    /// Budgets and defaults.
    pub(super) profile: Profile,
    /// What was asked to compute.
    pub(super) backend: Backend,
    /// Threads of the CPU backend, 1 or more.
    pub(super) threads: usize,
    /// What this machine is.
    pub(super) machine: Machine,
    /// Set by Ctrl-C and SIGTERM, and by the watch.
    pub(super) stop: Stop,
    /// GPUs on which nets were opened to play.
    gpus: Mutex<Vec<Place>>,
}

impl Context {
    /// Memory that a run may take whose work has `workers` threads beside those that compute: the profile's share, or less
    /// where the machine has less.
    fn budget(&self, workers: usize) -> Budget {
        Budget::new(self.profile.ram_budget_bytes(), &self.machine, self.threads + workers + THREADS_BESIDE)
    }

    /// A watch over memory, heat, and the disk of the folder `writes_to`.
    fn watch(&self, budget: Budget, writes_to: Option<&Path>) -> Result<Watch> {
        let writes_to = writes_to.map(Path::to_path_buf);
        let watch = Watch::start(Tree::machine(), &self.profile.watch, budget.bytes(), writes_to, &self.stop)?;
        watch.follow(self.gpus().clone());
        Ok(watch)
    }

    fn gpus(&self) -> MutexGuard<'_, Vec<Place>> {
        self.gpus.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the program and returns its exit code: 0 success, 1 a failure of the world, 2 a wrong call, 75 stopped by itself
/// before memory or disk ran out, 130 stopped.
pub fn main() -> i32 {
    match run(std::env::args_os().skip(1)) {
        Ok(()) => 0,
        Err(_) if out::is_closed() => 0,
        Err(err) => {
            // With stderr closed too there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "edgezero: {err}");
            err.exit_code()
        }
    }
}

fn run(args: impl IntoIterator<Item = std::ffi::OsString>) -> Result<()> {
    let args = args::normalize(args)?;
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if args.iter().take_while(|arg| **arg != "--").any(|arg| *arg == "--version") {
        return out::outln!("edgezero {}", env!("CARGO_PKG_VERSION"));
    }
    let args = match Args::from_args(&["edgezero"], &args) {
        Ok(args) => args,
        Err(argh::EarlyExit { output, status: Ok(()) }) => return out::outln!("{}", output.trim_end()),
        Err(argh::EarlyExit { output, status: Err(()) }) => return Err(wrong_call(&output, &args)),
    };
    start_log(args.verbose, args.log_file.as_deref())?;
    let machine = Machine::read();
    if machine.address_bytes.is_some() {
        keep_to_one_heap();
    }
    let (profile, chosen) = profile::choose(&args.profile, &machine)?;
    log::info!("{chosen}");
    let threads = match args.threads {
        Some(0) => return Err(Error::call("--threads", "0, expected 1 or more")),
        Some(threads) => threads,
        None => profile.device.cores.min(machine.cores),
    };
    let in_profile = profile.device.precision().map_err(|bad| Error::call("device.precision", bad.what))?;
    let backend = Backend {
        choice: args.backend,
        gpus: args.gpus.map_or_else(Vec::new, |gpus| gpus.0),
        threads,
        precision: args.precision.map_or(in_profile, |asked| asked.0),
    };
    let ctx = Context { profile, backend, threads, machine, stop: Stop::on_signals()?, gpus: Mutex::default() };
    let done = args.command.run(&ctx);
    done.map_err(|e| ctx.stop.why().map_or(e.clone(), |why| e.because(why)))
}

/// argh's complaint in the house's form.
fn wrong_call(output: &str, args: &[&str]) -> Error {
    let known = |arg: &&&str| Command::COMMANDS.iter().any(|command| command.name == **arg);
    let help = match args.iter().find(known) {
        Some(command) => format!("edgezero {command} --help"),
        None => "edgezero --help".to_string(),
    };
    let first = args.iter().position(|arg| !arg.starts_with('-'));
    let names = || Command::COMMANDS.iter().map(|command| command.name).collect::<Vec<_>>().join(", ");
    match first.map(|i| args[i]) {
        None if output.contains("subcommands must be present") => {
            return Error::call("command line", "no command").hint(format!("edgezero --help; the commands are {}", names()));
        }
        Some(word) if output.contains(&format!("Unrecognized argument: {word}")) && help == "edgezero --help" => {
            return Error::call(word, "no such command").hint(format!("one of {}", names()));
        }
        _ => {}
    }
    let lines: Vec<&str> = output.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Error::call("command line", lines.join(" ")).hint(help)
}

/// Log lines on stderr: `RUST_LOG` if it is set, else info, with -v debug, with -vv trace. Bare text at info, as for people.
/// `file` gets them too, with times.
fn start_log(verbose: u8, file: Option<&Path>) -> Result<()> {
    let level = match verbose {
        0 => "info",
        1 => "debug",
        _ => "trace",
    };
    let file = file.map(log_file::LogFile::open).transpose()?;
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(level))
        .format(move |out, record| {
            let line = match record.level() {
                log::Level::Info => record.args().to_string(),
                level => format!("{}: {}", level.as_str().to_ascii_lowercase(), record.args()),
            };
            if let Some(file) = &file {
                file.write(&line);
            }
            writeln!(out, "{line}")
        })
        .init();
    Ok(())
}
