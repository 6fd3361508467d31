//! Which board this is: its chip, its compute capability, and the system that runs on it.

use super::tree::Tree;
use serde::Serialize;

/// Facts about board and system, as far as the files tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Board {
    /// The device tree's model, such as `NVIDIA Jetson Xavier NX Developer Kit`; none on a PC.
    pub model: Option<String>,
    /// NVIDIA's chip, such as `tegra194`.
    pub chip: Option<String>,
    /// Compute capability of the chip's GPU times ten, such as 72.
    pub sm: Option<u32>,
    /// Release of Jetson Linux, such as `32.7.1`.
    pub l4t: Option<String>,
    /// JetPack that has this release, such as `4.6.1`.
    pub jetpack: Option<String>,
    /// The distribution's name.
    pub system: Option<String>,
    /// Release of the kernel.
    pub kernel: Option<String>,
    /// NVIDIA graphics cards by their names; a card without a driver is only counted as such.
    pub cards: Vec<String>,
}

/// What a graphics card is called whose driver is not there to name it.
pub const CARD_WITHOUT_DRIVER: &str = "NVIDIA card without a driver";

/// NVIDIA's chips on boards: device tree name and compute capability times ten (CUDA C Programming Guide, appendix on
/// compute capabilities).
const CHIPS: [(&str, u32); 5] = [("tegra210", 53), ("tegra186", 62), ("tegra194", 72), ("tegra234", 87), ("tegra264", 110)];

/// Releases of Jetson Linux and the JetPack that has them (developer.nvidia.com/embedded/jetpack-archive).
const JETPACKS: [(&str, &str); 26] = [
    ("32.4.3", "4.4"),
    ("32.4.4", "4.4.1"),
    ("32.5.0", "4.5"),
    ("32.5.1", "4.5.1"),
    ("32.5.2", "4.5.1"),
    ("32.6.1", "4.6"),
    ("32.7.1", "4.6.1"),
    ("32.7.2", "4.6.2"),
    ("32.7.3", "4.6.3"),
    ("32.7.4", "4.6.4"),
    ("32.7.5", "4.6.5"),
    ("32.7.6", "4.6.6"),
    ("35.1.0", "5.0.2"),
    ("35.2.1", "5.1"),
    ("35.3.1", "5.1.1"),
    ("35.4.1", "5.1.2"),
    ("35.5.0", "5.1.3"),
    ("35.6.0", "5.1.4"),
    ("35.6.1", "5.1.5"),
    ("36.3.0", "6.0"),
    ("36.4.0", "6.1"),
    ("36.4.3", "6.2"),
    ("36.4.4", "6.2.1"),
    ("36.4.7", "6.2.1"),
    ("38.2.0", "7.0"),
    ("38.4.0", "7.1"),
];

impl Board {
    /// Reads the facts. `packages` is the list of installed packages ([`super::software::Packages`]).
    pub fn read(tree: &Tree, packages: &super::software::Packages) -> Board {
        let chip = chip(tree);
        let l4t = l4t(tree).or_else(|| packages.version("nvidia-l4t-core").map(|v| upstream(&v)));
        Board {
            model: model(tree),
            sm: chip.as_ref().and_then(|chip| CHIPS.iter().find(|(name, _)| name == chip)).map(|(_, sm)| *sm),
            chip,
            jetpack: packages.version("nvidia-jetpack").map(|v| upstream(&v)).or_else(|| {
                let known = JETPACKS.iter().find(|(release, _)| Some(*release) == l4t.as_deref())?;
                Some(known.1.to_string())
            }),
            l4t,
            system: system(tree),
            kernel: tree.text("proc/sys/kernel/osrelease"),
            cards: cards(tree),
        }
    }

    /// The first number of the release of Jetson Linux.
    pub fn l4t_major(&self) -> Option<u32> {
        self.l4t.as_ref()?.split('.').next()?.parse().ok()
    }
}

/// The device tree's model.
pub(super) fn model(tree: &Tree) -> Option<String> {
    tree.text("proc/device-tree/model").or_else(|| tree.text("sys/firmware/devicetree/base/model"))
}

/// The last of the device tree's compatible names is the chip's, such as `nvidia,tegra194`.
fn chip(tree: &Tree) -> Option<String> {
    let names = tree.text("proc/device-tree/compatible").or_else(|| tree.text("sys/firmware/devicetree/base/compatible"))?;
    let names = names.split(['\0', ',', ' ', '\n']).rev();
    names.into_iter().find(|name| name.starts_with("tegra")).map(str::to_string)
}

/// `# R32 (release), REVISION: 7.1, GCID: …` is 32.7.1.
fn l4t(tree: &Tree) -> Option<String> {
    let text = tree.text("etc/nv_tegra_release")?;
    let major = text.strip_prefix("# R")?.split_whitespace().next()?;
    let revision = text.split("REVISION:").nth(1)?.split(',').next()?.trim();
    Some(format!("{major}.{revision}"))
}

/// A package's version without the distribution's part.
fn upstream(version: &str) -> String {
    version.split(['-', '+']).next().unwrap_or(version).to_string()
}

fn system(tree: &Tree) -> Option<String> {
    let text = tree.text("etc/os-release")?;
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches('"').to_string())
}

/// Names from the driver; without one, the PCI bus says that there is a card.
fn cards(tree: &Tree) -> Vec<String> {
    let named = tree.names("proc/driver/nvidia/gpus").into_iter().filter_map(|gpu| {
        let text = tree.text(&format!("proc/driver/nvidia/gpus/{gpu}/information"))?;
        let model = text.lines().find_map(|line| line.strip_prefix("Model:"))?;
        Some(model.trim().to_string())
    });
    let named: Vec<String> = named.collect();
    if !named.is_empty() {
        return named;
    }
    let is_card = |device: &String| {
        let field = |name: &str| tree.text(&format!("sys/bus/pci/devices/{device}/{name}")).unwrap_or_default();
        // PCI: vendor NVIDIA, class display controller.
        field("vendor") == "0x10de" && field("class").starts_with("0x03")
    };
    tree.names("sys/bus/pci/devices").iter().filter(|device| is_card(device)).map(|_| CARD_WITHOUT_DRIVER.to_string()).collect()
}
