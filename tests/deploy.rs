//! Deploying to a real sshd on this machine: key login, a user without rights (one made for the test where the tests run as
//! root, else whoever runs them), everything in a temporary folder.

mod common;

use common::TempDir;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const SSHD: &str = "/usr/sbin/sshd";
/// Longest wait for anything: a machine may be busy.
const PATIENCE: Duration = Duration::from_secs(300);
/// Tries of what somebody else may spoil: a port that is taken meanwhile, a list of users that is locked.
const TRIES: usize = 20;

/// Somebody's board: an sshd, and a user who may log in with a key.
struct Board {
    dir: TempDir,
    sshd: Child,
    user: String,
    /// The user was made for this test.
    made: bool,
}

impl Board {
    /// None, with a line that says so, where there is no sshd.
    fn start(name: &str) -> Option<Board> {
        for program in [SSHD, "/usr/bin/ssh-keygen", "/usr/bin/ssh"] {
            if !Path::new(program).exists() {
                eprintln!("skipped: there is no {program} (try: apt-get install openssh-server)");
                return None;
            }
        }
        let dir = TempDir::new(&format!("deploy-{name}"));
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let home = dir.path().join("home");
        let root = say(Command::new("id").arg("-u")).trim() == "0";
        let (user, made) = match root {
            true => (new_user(&home), true),
            false => (say(Command::new("id").arg("-un")).trim().to_string(), false),
        };
        for key in ["host", "key"] {
            say(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(dir.path().join(key)));
        }
        let (sshd, port) = listening(dir.path());
        let at = dir.path().display();
        let client = format!(
            "Host board\nHostName 127.0.0.1\nPort {port}\nIdentityFile {at}/key\nIdentitiesOnly yes\nBatchMode yes\n\
             UserKnownHostsFile {at}/known\nStrictHostKeyChecking accept-new\nLogLevel ERROR\n"
        );
        fs::write(dir.path().join("ssh_config"), client).unwrap();
        let board = Board { dir, sshd, user, made };
        fs::create_dir(&home).unwrap();
        board.owns(&home);
        Some(board)
    }

    fn owns(&self, path: &Path) {
        if self.made {
            say(Command::new("chown").arg(&self.user).arg(path));
        }
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// `make STEP-jetson` for a folder, with more variables.
    fn command(&self, step: &str, dir: &str, more: &[(&str, &str)]) -> Command {
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/deploy.sh"));
        command.arg(step).env("JETSON", format!("{}@board", self.user)).env("DIR", dir);
        command.env("SSH", format!("ssh -F {}", self.dir.path().join("ssh_config").display()));
        command.env("TMPDIR", self.dir.path()).envs(more.iter().copied()).stdin(Stdio::null());
        command
    }

    fn deploy(&self, dir: &str, binary: &Path) -> Output {
        self.command("deploy", dir, &[("BINARY", binary.to_str().unwrap())]).output().unwrap()
    }

    fn run(&self, step: &str, dir: &str) -> Output {
        self.command(step, dir, &[]).output().unwrap()
    }

    /// Our program without symbols, with some bytes at its end that make it another one.
    fn program(&self, version: &str) -> PathBuf {
        let path = self.dir.path().join(format!("edgezero-{version}"));
        fs::copy(env!("CARGO_BIN_EXE_edgezero"), &path).unwrap();
        let _ = Command::new("strip").arg(&path).status();
        append(&path, version.as_bytes());
        path
    }
}

/// A user without rights for one test.
fn new_user(home: &Path) -> String {
    static N: AtomicU32 = AtomicU32::new(0);
    fs::create_dir_all("/run/sshd").unwrap();
    for _ in 0..TRIES {
        let user = format!("ez{}-{}", std::process::id(), N.fetch_add(1, Ordering::Relaxed));
        // `-p *`: no password fits, yet the account is not locked.
        let added = Command::new("useradd").args(["-M", "-p", "*", "-s", "/bin/sh", "-d"]).arg(home).arg(&user).output().unwrap();
        if added.status.success() {
            return user;
        }
        eprintln!("{user}: {}", String::from_utf8_lossy(&added.stderr));
        std::thread::sleep(Duration::from_millis(500));
    }
    panic!("no user can be made");
}

/// An sshd that listens, and its port: one that was free a moment ago.
fn listening(dir: &Path) -> (Child, u16) {
    let at = dir.display();
    for _ in 0..TRIES {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host\nAuthorizedKeysFile {at}/key.pub\nStrictModes no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nPidFile none\nMaxStartups 100\n"
        );
        fs::write(dir.join("sshd_config"), config).unwrap();
        let log = dir.join(format!("sshd-{port}.log"));
        let mut sshd = Command::new(SSHD);
        sshd.arg("-D").arg("-E").arg(&log).arg("-f").arg(dir.join("sshd_config"));
        let mut sshd = sshd.stdin(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        // It says so itself: somebody else may answer at that port.
        while sshd.try_wait().unwrap().is_none() {
            let said = fs::read_to_string(&log).unwrap_or_default();
            if said.contains(&format!("listening on 127.0.0.1 port {port}")) {
                return (sshd, port);
            }
            assert!(begun.elapsed() < PATIENCE, "sshd does not listen: {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
        eprintln!("sshd ended: {}", fs::read_to_string(&log).unwrap_or_default());
    }
    panic!("sshd finds no port");
}

impl Drop for Board {
    fn drop(&mut self) {
        let _ = self.sshd.kill();
        let _ = self.sshd.wait();
        if self.made {
            let _ = Command::new("userdel").args(["-f", &self.user]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}

fn append(path: &Path, bytes: &[u8]) {
    fs::OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

/// Runs what has to succeed; its stdout.
#[track_caller]
fn say(command: &mut Command) -> String {
    succeeded(&command.output().unwrap())
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    let (said, talk) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{talk}");
    said.into_owned()
}

#[track_caller]
fn failed(output: &Output, code: i32, words: &[&str]) {
    let talk = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{talk}");
    for word in words {
        assert!(talk.contains(word), "`{word}` is not in:\n{talk}");
    }
}

/// The release in use, whole and able to run.
#[track_caller]
fn in_use(dir: &Path) -> String {
    let current = dir.join("current");
    say(Command::new("sha256sum").args(["-c", "--status", "MANIFEST"]).current_dir(&current));
    assert!(say(Command::new(current.join("edgezero")).arg("--version")).starts_with("edgezero "));
    fs::read_link(current).unwrap().file_name().unwrap().to_str().unwrap().to_string()
}

fn releases(dir: &Path) -> usize {
    let names = fs::read_dir(dir.join("releases")).unwrap().map(|e| e.unwrap().file_name());
    names.filter(|name| !name.to_str().unwrap().starts_with('.')).count()
}

#[test]
fn deploy_again_rollback_undeploy() {
    let Some(board) = Board::start("round") else { return };
    let dir = board.home().join("edge zero's");
    let at = dir.to_str().unwrap();
    let programs = ["1", "2"].map(|version| board.program(version));

    let said = succeeded(&board.deploy(at, &programs[0]));
    assert!(said.contains("edgezero ") && said.contains("in use"), "{said}");
    let first = in_use(&dir);
    let said = succeeded(&board.deploy(at, &programs[0]));
    assert!(said.contains("in use already: nothing is copied"), "{said}");
    assert_eq!((in_use(&dir), releases(&dir)), (first.clone(), 1));
    failed(&board.run("rollback", at), 1, &["no release before"]);

    // With a net there, the opponent's answer is part of the health.
    let net = edgezero::net::NetConfig::named("b1c8").unwrap().init(1);
    edgezero::net::katago::save(&dir.join("net.bin.gz"), &net).unwrap();
    let said = succeeded(&board.deploy(at, &programs[1]));
    assert!(said.contains("opponent: answers"), "{said}");
    let second = in_use(&dir);
    assert_ne!(first, second);
    succeeded(&board.run("rollback", at));
    assert_eq!(in_use(&dir), first);
    let said = succeeded(&board.deploy(at, &programs[1]));
    assert!(said.contains("there from before: nothing is copied"), "{said}");
    assert_eq!(in_use(&dir), second);

    // Three are kept, and two rollbacks are none.
    for name in ["third", "fourth"] {
        succeeded(&board.deploy(at, &stub(&board, name, &format!("println!(\"= {name}\")"))));
    }
    assert_eq!(releases(&dir), 3);
    let fourth = in_use(&dir);
    succeeded(&board.run("rollback", at));
    assert_ne!(in_use(&dir), fourth);
    succeeded(&board.run("rollback", at));
    assert_eq!(in_use(&dir), fourth);

    let said = succeeded(&board.run("undeploy", at));
    assert!(said.contains("kept: net.bin.gz"), "{said}");
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    let said = succeeded(&board.run("undeploy", at));
    assert!(said.contains("nothing to take away"), "{said}");
    failed(&board.run("rollback", at), 1, &["holds no release"]);
}

/// A program that tells its version and then does `more`.
fn stub(board: &Board, name: &str, more: &str) -> PathBuf {
    let (source, path) = (board.dir.path().join(format!("{name}.rs")), board.dir.path().join(name));
    let text = format!(
        "fn main() {{ if std::env::args().nth(1).as_deref() == Some(\"--version\") {{ println!(\"edgezero 9\") }} else {{ {more} }} }}"
    );
    fs::write(&source, text).unwrap();
    say(Command::new("rustc").args(["-Cstrip=symbols", "-o"]).arg(&path).arg(source));
    path
}

#[test]
fn a_bad_release_leaves_the_old_one_in_use() {
    let Some(board) = Board::start("bad") else { return };
    let dir = board.home().join("edgezero");
    let sick = stub(&board, "sick", "std::process::abort()");
    let healthy = stub(&board, "healthy", "()");

    // The first of all: nothing is in use then.
    failed(&board.deploy("edgezero", &sick), 1, &["not healthy"]);
    assert!(!dir.join("current").exists());
    succeeded(&board.deploy("edgezero", &healthy));
    let good = in_use(&dir);
    failed(&board.deploy("edgezero", &sick), 1, &["not healthy", &good, "in use again"]);
    assert_eq!(in_use(&dir), good);

    let broken = board.dir.path().join("broken");
    let whole = fs::read(&healthy).unwrap();
    fs::write(&broken, &whole[..whole.len() / 3]).unwrap();
    failed(&board.deploy("edgezero", &broken), 1, &["does not start here", "nothing was changed"]);
    assert_eq!(in_use(&dir), good);

    // One that was damaged on the card is copied again.
    fs::write(dir.join("releases").join(&good).join("edgezero"), "worn out").unwrap();
    succeeded(&board.deploy("edgezero", &healthy));
    assert_eq!(in_use(&dir), good);
}

#[test]
fn what_cannot_be_is_told() {
    let Some(board) = Board::start("told") else { return };
    let program = stub(&board, "program", "()");
    let mut bytes = fs::read(&program).unwrap();
    // The machine of an ELF header: 183 is aarch64, 62 x86-64.
    bytes[18] = if bytes[18] == 183 { 62 } else { 183 };
    let other = board.dir.path().join("other");
    fs::write(&other, bytes).unwrap();
    failed(&board.deploy("edgezero", &other), 1, &["the binary is for", "try: BINARY="]);
    assert!(!board.home().join("edgezero").exists());

    failed(&board.deploy("edgezero", Path::new("/etc/passwd")), 2, &["no program for a board"]);
    failed(&board.deploy("edgezero", Path::new("/no/such")), 2, &["there is no file"]);
    failed(&board.deploy("/", &program), 2, &["cannot be the folder"]);
    let wrong = |jetson: &str| board.command("rollback", "edgezero", &[("JETSON", jetson)]).output().unwrap();
    failed(&wrong(""), 2, &["JETSON=user@host"]);
    failed(&wrong("-oProxyCommand=touch x"), 2, &["no user@host"]);
    failed(&wrong("nobody-here@board"), 1, &["no connection to nobody-here@board"]);
    failed(&board.run("rollback", "edgezero"), 1, &["there is no folder"]);
    if board.made {
        let words = ["may not write /opt/edgezero-test", "sudo install -d -o ", "'/opt/edgezero-test'"];
        failed(&board.deploy("/opt/edgezero-test", &program), 1, &words);
    }
}

#[test]
fn without_rsync_it_goes_with_tar() {
    let Some(board) = Board::start("tar") else { return };
    let bin = board.dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    for entry in ["/usr/bin", "/bin"].iter().flat_map(|dir| fs::read_dir(dir).unwrap()).map(|e| e.unwrap()) {
        if entry.file_name() != "rsync" {
            let _ = std::os::unix::fs::symlink(entry.path(), bin.join(entry.file_name()));
        }
    }
    let program = stub(&board, "program", "()");
    let more = [("BINARY", program.to_str().unwrap()), ("PATH", bin.to_str().unwrap())];
    let said = succeeded(&board.command("deploy", "a $HOME `x` folder", &more).output().unwrap());
    assert!(said.contains("with tar"), "{said}");
    in_use(&board.home().join("a $HOME `x` folder"));
}

#[test]
fn a_cut_at_any_moment_leaves_the_old_release() {
    let Some(board) = Board::start("cut") else { return };
    let dir = board.home().join("edgezero");
    // As large as ours, and another one with each byte that is added.
    let program = stub(&board, "program", "()");
    let mut bits = 1u64;
    let bytes = std::iter::repeat_with(|| {
        bits = edgezero::base::rng::mix(bits);
        bits as u8
    });
    append(&program, &bytes.take(8 << 20).collect::<Vec<_>>());
    succeeded(&board.deploy("edgezero", &program));
    let mut known = vec![in_use(&dir)];
    append(&program, b"+");
    let begun = Instant::now();
    succeeded(&board.deploy("edgezero", &program));
    let whole = begun.elapsed();
    known.push(in_use(&dir));
    let n_cuts = 16;
    for i in 0..n_cuts {
        // Each a new release, cut a little later. The whole group dies: this script, ssh and rsync.
        append(&program, b"+");
        let mut command = board.command("deploy", "edgezero", &[("BINARY", program.to_str().unwrap())]);
        let mut child = command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole * i / n_cuts);
        let _ = Command::new("kill").args(["-9", "--", &format!("-{}", child.id())]).stderr(Stdio::null()).status();
        child.wait().unwrap();
        let now = in_use(&dir);
        if !known.contains(&now) {
            known.push(now);
        }
    }
    // What the cuts left does not stand in the way. A step under way over there may hold the lock for a moment.
    append(&program, b"+");
    let mut output = board.deploy("edgezero", &program);
    let begun = Instant::now();
    while !output.status.success() && begun.elapsed() < PATIENCE {
        failed(&output, 1, &["another deploy"]);
        std::thread::sleep(Duration::from_millis(200));
        output = board.deploy("edgezero", &program);
    }
    succeeded(&output);
    assert!(!known.contains(&in_use(&dir)));
    let left: Vec<_> = fs::read_dir(dir.join("releases")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_str().unwrap().starts_with(".incoming")), "{left:?}");
    assert_eq!(releases(&dir), 3);
}

#[test]
fn the_services_are_what_systemd_takes() {
    let Some(board) = Board::start("units") else { return };
    if !board.made {
        eprintln!("skipped: services, the tests would install them for {}", board.user);
        return;
    }
    let program = stub(&board, "program", "()");
    let more = [("BINARY", program.to_str().unwrap()), ("SYSTEMD", "1"), ("GTP_PORT", "4711")];
    let said = succeeded(&board.command("deploy", "edgezero", &more).output().unwrap());
    assert!(said.contains("sudo install -m 644") && said.contains("systemctl enable --now edgezero-train"), "{said}");
    let units = board.home().join("edgezero/units");
    let files = ["edgezero-train.service", "edgezero-gtp.socket", "edgezero-gtp@.service"].map(|name| units.join(name));
    for file in &files {
        let text = fs::read_to_string(file).unwrap();
        let left = ["@DIR@", "@USER@", "@PORT@", "@BOARD@", "@PROTECT_HOME@"].iter().find(|name| text.contains(**name));
        assert_eq!(left, None, "{text}");
    }
    assert!(fs::read_to_string(&files[1]).unwrap().contains("127.0.0.1:4711"));
    failed(&board.command("deploy", "a b", &more).output().unwrap(), 1, &["units need a folder of letters"]);

    if !Path::new("/usr/bin/systemd-analyze").exists() {
        eprintln!("skipped: systemd-analyze is not there");
        return;
    }
    let verified = Command::new("systemd-analyze").arg("verify").args(&files).output().unwrap();
    let talk = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(verified.status.success() && !talk.contains("edgezero"), "{talk}");
}
