//! Written files are read back whole; broken ones are refused with the place, and never cost memory out of proportion.

use super::*;
use crate::base::rng::{below, rng};
use crate::net::{Net, NetConfig};
use rand::Rng as _;

/// A net of ours with statistics as after training.
fn trained(name: &str) -> Net {
    let mut net = NetConfig::named(name).unwrap().init(5);
    let mut random = rng(6, 0);
    for i in net.layout().stats.clone() {
        for x in &mut net.stats_mut()[i.offset..i.offset + i.len] {
            *x = 0.5 + (random.next_u64() >> 40) as f32 / (1u64 << 24) as f32;
        }
    }
    net
}

/// The same content with numbers as words.
fn as_text(net: &Net) -> Vec<u8> {
    let bytes = write(net).unwrap();
    let (mut text, mut rest) = (String::new(), &bytes[..]);
    let mut runs = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
        if !rest.starts_with(tokens::BINARY_MARK) {
            text.push_str(std::str::from_utf8(&rest[..end]).unwrap());
            text.push(' ');
            rest = &rest[end + 1..];
            continue;
        }
        let words: Vec<&str> = text.split_whitespace().rev().take(8).collect();
        let len = run_len(&words, &mut runs);
        let data = &rest[tokens::BINARY_MARK.len()..];
        for b in data[..4 * len].chunks_exact(4) {
            text.push_str(&format!("{:?}\t\r\n", f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        }
        rest = &data[4 * len + 1..];
    }
    text.into_bytes()
}

/// Numbers in the run that follows these words (latest first); `norm` counts down the runs of a norm.
fn run_len(words: &[&str], norm: &mut Vec<usize>) -> usize {
    if let Some(len) = norm.pop() {
        return len;
    }
    let int = |i: usize| words.get(i).and_then(|w| w.parse::<usize>().ok());
    match (int(0), int(1), int(2), int(3), int(4), int(5)) {
        // dilations, channels, kernel
        (Some(1), Some(1), Some(c_out), Some(c_in), Some(kx), Some(ky)) => ky * kx * c_in * c_out,
        // flags, epsilon, channels: all our norms have both
        (Some(1), Some(1), None, Some(c), ..) => {
            *norm = vec![c; 3];
            c
        }
        (Some(c_out), Some(c_in), None, ..) => c_in * c_out,
        (Some(c), None, ..) => c,
        other => panic!("{other:?}"),
    }
}

#[test]
fn written_nets_are_read_back() {
    for name in ["b1c4", "b2c16", "b4c32"] {
        let net = trained(name);
        let back = read("memory", &write(&net).unwrap(), Numbers::Binary).unwrap();
        assert!(back == net, "{name}");
        assert!(read("memory", &as_text(&net), Numbers::Text).unwrap() == net, "{name} as text");
    }
}

#[test]
fn files_go_by_their_names() {
    let dir = std::env::temp_dir().join(format!("edgezero-katago-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let net = trained("b1c4");
    save(&dir.join("a.bin.gz"), &net).unwrap();
    std::fs::copy(dir.join("a.bin.gz"), dir.join("b.GZ")).unwrap();
    std::fs::write(dir.join("c.bin"), write(&net).unwrap()).unwrap();
    std::fs::write(dir.join("d.txt"), as_text(&net)).unwrap();
    for name in ["a.bin.gz", "b.GZ", "c.bin", "d.txt"] {
        assert!(open(&dir.join(name)).unwrap() == net, "{name}");
    }
    std::fs::copy(dir.join("c.bin"), dir.join("e.bin.gz")).unwrap();
    std::fs::write(dir.join("f.net"), b"x").unwrap();
    for (name, why) in [("e.bin.gz", "no whole gzip data"), ("f.net", "by its name"), ("g.bin", "No such file")] {
        let e = open(&dir.join(name)).unwrap_err().to_string();
        assert!(e.contains(why) && e.contains(name), "{e}");
    }
    assert!(save(&dir.join("h.txt"), &net).is_err());
    std::fs::remove_dir_all(&dir).unwrap();
}

/// The text of a small net with one word or number replaced.
fn broken(from: &str, to: &str) -> String {
    let text = String::from_utf8(as_text(&trained("b2c4"))).unwrap();
    let changed = text.replacen(from, to, 1);
    assert_ne!(text, changed, "{from}");
    read("a.txt", changed.as_bytes(), Numbers::Text).unwrap_err().to_string()
}

#[test]
fn broken_files_are_refused_with_the_place() {
    for (from, to, why) in [
        ("b2c4 8 22", "b2c4 18 22", "model version 18, expected 8 to 16"),
        ("b2c4 8 22", "b2c4 7 22", "model version 7"),
        ("b2c4 8 22", "b2c4 8 13", "13 input planes, expected 22"),
        ("22 19 trunk", "22 x trunk", "'x', expected a number"),
        ("trunk 2 4", "trunk 2 0", "trunk channels: 0"),
        ("trunk 2 4", "trunk 2 5", "the header says 5"),
        ("trunk 2 4", "trunk 3 4", "block 3: kind 'trunk/norm'"),
        ("trunk 2 4", "trunk 99999 4", "number of blocks: '99999'"),
        ("ordinary_block", "dilated_block", "kind 'dilated_block'"),
        ("conv1 3 3 22 4 1 1", "conv1 2 3 22 4 1 1", "kernel 2x3"),
        ("conv1 3 3 22 4 1 1", "conv1 3 3 22 4 2 2", "dilation 2x2"),
        ("conv1 3 3 22 4 1 1", "conv1 3 3 4000 4000 1 1", "first convolution: 144000000 numbers, but the file ends before"),
        ("conv1 3 3 22 4 1 1", "conv1 3 3 18446744073709551615 4 1 1", "expected a number up to"),
        ("conv1 3 3 22 4 1 1", "conv1 3 3 22 4 1 1 NaN", "NaN"),
        ("norm1 4 0.0001", "norm1 4 -1", "epsilon -1"),
        ("norm1 4 0.0001", "norm1 4 inf", "infinity"),
        ("norm1 4 0.0001 1 1", "norm1 4 0.0001 2 1", "'2', expected a number up to 1"),
        ("sv3/b 4", "sv3/b 3", ""),
    ] {
        let e = broken(from, to);
        assert!(e.contains("a.txt") && e.contains(why), "{from} -> {to}: {e}");
    }
}

#[test]
fn binary_nan_and_wrong_marks() {
    let mut bytes = write(&trained("b1c4")).unwrap();
    let mark = bytes.windows(5).position(|w| w == tokens::BINARY_MARK).unwrap();
    let at = mark + 5 + 4 * 7;
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let e = read("a.bin", &bytes, Numbers::Binary).unwrap_err().to_string();
    assert!(e.contains("number 7 is NaN") && e.contains("a.bin @ byte"), "{e}");
    bytes[mark] = b'#';
    let e = read("a.bin", &bytes, Numbers::Binary).unwrap_err().to_string();
    assert_eq!(e, format!("a.bin @ byte {mark}: first convolution: no @BIN@ before its 792 numbers"));
    let negative = {
        let mut net = trained("b1c4");
        *net.stats_mut().last_mut().unwrap() = -1.0;
        write(&net).unwrap()
    };
    assert!(read("a.bin", &negative, Numbers::Binary).unwrap_err().to_string().contains("no mean or variance"));
}

#[test]
fn cut_and_mutated_files_never_panic() {
    let bytes = write(&trained("b2c4")).unwrap();
    for end in 0..bytes.len() - 1 {
        assert!(read("cut", &bytes[..end], Numbers::Binary).is_err(), "{end} of {}", bytes.len());
    }
    let text = as_text(&trained("b1c1"));
    for end in (0..text.len() - 20).step_by(7) {
        assert!(read("cut", &text[..end], Numbers::Text).is_err(), "{end}");
    }
    let mut random = rng(1, 1);
    let mut refused = 0;
    for _ in 0..20_000 {
        let mut changed = bytes.clone();
        for _ in 0..=below(random.next_u64(), 3) {
            let at = below(random.next_u64(), changed.len().min(1500));
            changed[at] = random.next_u64() as u8;
        }
        refused += usize::from(read("mutated", &changed, Numbers::Binary).is_err());
    }
    println!("mutated files refused {refused}/20000");
}

#[test]
fn nets_that_version_8_cannot_hold_are_not_written() {
    let mut arch = NetConfig::named("b1c4").unwrap().arch();
    arch.norm_tip.act = crate::compute::Activation::Mish;
    assert!(write(&Net::zeroed("mish", arch)).unwrap_err().to_string().contains("Mish"));
}

/// How the pass comes from the pooled numbers.
#[derive(Clone, Copy, PartialEq)]
enum Pass {
    Direct,
    Hidden,
}

/// The words of a version 11 file; every number is 0.5, so that norms have sound variances.
#[derive(Default)]
struct Words(String);

impl Words {
    fn words(&mut self, words: &str) -> &mut Words {
        self.0.push_str(words);
        self.0.push(' ');
        self
    }

    fn numbers(&mut self, n: usize) -> &mut Words {
        self.0.push_str(&"0.5 ".repeat(n));
        self
    }

    fn conv(&mut self, k: usize, c_in: usize, c_out: usize) -> &mut Words {
        self.words(&format!("conv {k} {k} {c_in} {c_out} 1 1")).numbers(k * k * c_in * c_out)
    }

    fn matmul(&mut self, c_in: usize, c_out: usize) -> &mut Words {
        self.words(&format!("matmul {c_in} {c_out}")).numbers(c_in * c_out)
    }

    fn norm(&mut self, c: usize, act: &str) -> &mut Words {
        self.words(&format!("norm {c} 1e-3 0 1")).numbers(3 * c).words(&format!("act ACTIVATION_{act}"))
    }

    fn nested(&mut self, c: usize, depth: usize) -> &mut Words {
        if depth == 0 {
            return self.words("ordinary_block b").norm(c, "SILU").conv(3, c, 3).norm(3, "IDENTITY").conv(1, 3, c);
        }
        self.words("nested_bottleneck_block b 1").norm(c, "MISH").conv(1, c, 2).nested(2, depth - 1).norm(2, "RELU").conv(1, 2, c)
    }

    /// A convolution or a matrix of two inputs to `n` policies: 0.5 for the first, 9 for the others.
    fn policies(&mut self, record: &str, c_in: usize, n: usize) -> &mut Words {
        self.words(record).words(&format!("0.5 {}", "9 ".repeat(n - 1)).repeat(c_in))
    }

    fn heads(&mut self, c: usize, n_policies: usize, pass: Pass) -> &mut Words {
        self.words("policyhead").conv(1, c, 2).conv(1, c, 3).norm(3, "MISH").matmul(9, 2).norm(2, "MISH");
        self.policies(&format!("conv 1 1 2 {n_policies} 1 1"), 2, n_policies);
        let c_pass = match pass {
            Pass::Direct => 9,
            Pass::Hidden => {
                self.matmul(9, 2).words("bias 2").numbers(2).words("act ACTIVATION_RELU");
                2
            }
        };
        self.policies(&format!("matmul {c_pass} {n_policies}"), c_pass, n_policies);
        self.words("valuehead").conv(1, c, 2).norm(2, "MISH").matmul(6, 4).words("bias 4").numbers(4);
        self.words("act ACTIVATION_MISH").matmul(4, 3).words("bias 3").numbers(3);
        self.matmul(4, 6).words("bias 6").numbers(6).conv(1, 2, 1)
    }
}

#[test]
fn nested_blocks_and_all_activations_are_read() {
    let file = |depth: usize| {
        let mut w = Words::default();
        w.words("nbt 11 22 19 trunk 1 4 4 1 1 1").conv(5, 22, 4).matmul(19, 4).nested(4, depth).norm(4, "MISH").heads(
            4,
            1,
            Pass::Direct,
        );
        w.0
    };
    for depth in 0..=2 {
        let net = read("nbt.txt", file(depth).as_bytes(), Numbers::Text).unwrap();
        assert_eq!((net.arch().version, net.arch().score_c()), (11, 6), "depth {depth}");
        let norms = net.layout().stats.len() / 2;
        assert_eq!(norms, 1 + 2 + 1 + 2 * (depth + 1), "depth {depth}");
        assert!(write(&net).unwrap_err().to_string().contains("version 11"));
    }
    let refused = |text: String, why: &str| {
        let e = read("nbt.txt", text.as_bytes(), Numbers::Text).unwrap_err().to_string();
        assert!(e.contains(why), "{e}");
    };
    refused(file(9), "nested deeper than");
    refused(file(1).replacen("SILU", "GELU", 1), "unknown activation 'ACTIVATION_GELU'");
    refused(file(1).replacen("nbt 11", "nbt 10", 1), "expected a number");
}

/// A net of a later version: `header` between the input's numbers and the trunk, `trunk` after the trunk's sizes.
fn later(version: u32, header: &str, trunk: &str, n_policies: usize, pass: Pass) -> String {
    let mut w = Words::default();
    w.words(&format!("later {version} 22 19 {header} trunk 1 4 4 1 1 1 {trunk}"));
    w.conv(5, 22, 4).matmul(19, 4).nested(4, 0).norm(4, "MISH").heads(4, n_policies, pass);
    w.0
}

const UNITS: &str = "20 20 20 20 40 0.25 30";

#[test]
fn later_versions_are_read_for_their_first_policy() {
    let read = |text: String| read("later.txt", text.as_bytes(), Numbers::Text);
    let plain = read(later(11, "", "", 1, Pass::Direct)).unwrap();
    for (version, header) in [(12, ""), (13, UNITS), (14, UNITS)] {
        let net = read(later(version, header, "", 2, Pass::Direct)).unwrap();
        assert_eq!((net.arch().version, net.params()), (version, plain.params()), "{version}");
        assert!(net.arch().units.are_usual());
    }
    let features = format!("{UNITS} 0 1 0 0 0 0 0 0");
    let zeros = "0 0 0 0 0 0";
    for (version, n_policies) in [(15, 2), (16, 4)] {
        let net = read(later(version, &features, zeros, n_policies, Pass::Hidden)).unwrap();
        let (matmul, bias) = net.arch().policy.pass_hidden.unwrap();
        assert_eq!((matmul.c_in, matmul.c_out, bias.c, net.arch().policy.matmul_pass.c_in), (9, 2, 2, 2), "{version}");
        assert!(net.params().iter().all(|&x| x == 0.5), "{version}: another policy was taken");
    }
    let units = read(later(14, "20 10 5 20 40 0.25 150", "", 2, Pass::Direct)).unwrap().arch().units;
    assert_eq!((units.mean, units.stdev, units.score_error), (10.0, 5.0, 150.0));
    for (text, why) in [
        (later(12, "", "", 1, Pass::Direct), "1 policies, version 12 has 2"),
        (later(14, "20 0 20 20 40 0.25 30", "", 2, Pass::Direct), "units: 0, expected more"),
        (later(15, &features.replace(" 0 1", " 1 1"), zeros, 2, Pass::Hidden), "metadata encoder 1: a net that is told about"),
        (later(15, &features, "1 0 0 0 0 0", 2, Pass::Hidden), "kind of norm 1"),
        (later(15, &features, "0 0 0 3 0 0", 2, Pass::Hidden), "an unknown feature of the trunk 3"),
        (later(16, &features, zeros, 2, Pass::Hidden), "2 policies, version 16 has 4"),
        (later(17, &features, zeros, 4, Pass::Hidden), "model version 17, expected 8 to 16"),
        (later(15, &features, zeros, 2, Pass::Hidden).replace("ordinary_block", "transformer_block"), "kind 'transformer_block'"),
    ] {
        let e = read(text).unwrap_err().to_string();
        assert!(e.contains(why), "{why}: {e}");
    }
}

#[test]
fn a_hidden_layer_stands_before_the_pass() {
    use crate::compute::PackedRows;
    use crate::compute::cpu::CpuOps;
    use crate::compute::packed::PackedRow;
    use crate::net::{InferNet, RawOutputs};
    let pass = |text: String| {
        let net = read("later.txt", text.as_bytes(), Numbers::Text).unwrap();
        let mut row = PackedRow::new(3);
        row.set_size(3, 3);
        let mut out = RawOutputs::default();
        let rows = PackedRows { len: 3, bytes: row.bytes(), symmetries: &[0] };
        InferNet::new(CpuOps::new(1).unwrap(), &net, 1, 3).unwrap().run(rows, &mut out).unwrap();
        out.pass[0]
    };
    let direct = pass(later(14, UNITS, "", 2, Pass::Direct));
    let hidden = pass(later(15, &format!("{UNITS} 0 0 0 0 0 0 0 0"), "0 0 0 0 0 0", 2, Pass::Hidden));
    // Two hidden numbers, each half the sum that is the direct answer and half a bias.
    let expected = 2.0 * 0.5 * (direct + 0.5).max(0.0);
    assert!((hidden - expected).abs() < 1e-3 * expected.abs().max(1.0), "{hidden}, expected {expected} of {direct}");
}
