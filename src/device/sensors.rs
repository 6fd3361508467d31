//! Load, clocks, heat and power while work goes on, read from sysfs; of GPUs that are cards, from NVIDIA's library.
//!
//! Where the values are depends on chip and kernel, and some nodes appear only when a driver is awake: what is missing is
//! looked for again now and then. Loads are told by the kernel in thousandths, temperatures in thousandths of a degree.

use super::nvml::{Card, Place};
use super::tree::Tree;
use serde::{Serialize, Serializer};
use std::time::{Duration, Instant};

/// Time after which missing nodes are looked for again.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Names of the GPU in the device tree: Nano, TX2, Xavier, Orin with JetPack 5, Orin since JetPack 6.
const GPU_NAMES: [&str; 5] = ["gm20b", "gp10b", "gv11b", "ga10b", "gpu"];
/// Folders of the GPU where devfreq does not lead to it, over all chips and kernels.
const GPU_PLACES: [&str; 8] = [
    "sys/devices/gpu.0",
    "sys/devices/platform/gpu.0",
    "sys/devices/57000000.gpu",
    "sys/devices/17000000.gp10b",
    "sys/devices/17000000.gv11b",
    "sys/devices/17000000.ga10b",
    "sys/devices/platform/17000000.ga10b",
    "sys/devices/platform/bus@0/17000000.gpu",
];
/// Rails that carry the power of the whole board.
const INPUT_RAILS: [&str; 3] = ["VDD_IN", "POM_5V_IN", "VIN"];
/// A rail behind another measured one, on an AGX Orin: it would count twice.
const RAIL_BEHIND: &str = "VDDQ_VDD2_1V8AO";
/// Zones that hold no temperature of a chip: a constant, and the fan's guess.
const ZONES_LEFT_OUT: [&str; 2] = ["pmic", "thermal-fan-est"];
/// Sensors of PC processors among the hardware monitors.
const PC_MONITORS: [&str; 3] = ["coretemp", "k10temp", "zenpower"];
/// Name of the rail of a GPU whose library tells its power.
const CARD_RAIL: &str = "GPU card";
/// A sensor that is switched off says -256 °C; none that works is below this, in thousandths of a degree.
const TEMPERATURE_MIN: i64 = -40_000;

/// What the sensors say at one moment; what a machine does not tell is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Reading {
    /// Load of the GPU, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_load: Option<f64>,
    /// Clock of the GPU in MHz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_mhz: Option<f64>,
    /// Memory in MiB that is in use of the GPU's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_memory_mb: Option<f64>,
    /// Clock of the first core in MHz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_mhz: Option<f64>,
    /// Memory that can be had without swapping, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_mb: Option<f64>,
    /// Temperatures in °C by the sensor's name.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "by_name")]
    pub temperatures: Vec<Named>,
    /// Power in W by the rail's name.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "by_name")]
    pub rails: Vec<Named>,
    /// Power in W of the whole board; of the GPUs that compute, where only they are measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_w: Option<f64>,
    /// What slows the clocks down just now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub throttled_by: Vec<String>,
}

/// A value with its sensor's name.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// The name.
    pub name: String,
    /// The value.
    pub value: f64,
}

fn by_name<S: Serializer>(values: &[Named], out: S) -> Result<S::Ok, S::Error> {
    out.collect_map(values.iter().map(|named| (&named.name, named.value)))
}

impl Reading {
    /// The highest temperature in °C.
    pub fn hottest(&self) -> Option<&Named> {
        self.temperatures.iter().max_by(|a, b| a.value.total_cmp(&b.value))
    }

    /// Whose power is measured, for people.
    pub fn powered(&self) -> &'static str {
        match self.rails.iter().all(|rail| rail.name.starts_with(CARD_RAIL)) {
            true => "the GPU",
            false => "the board",
        }
    }
}

/// The nodes of this machine's sensors.
#[derive(Debug)]
pub struct Sensors {
    tree: Tree,
    gpu: Option<Gpu>,
    zones: Vec<Zone>,
    rails: Vec<Rail>,
    cards: Vec<Card>,
    looked: Instant,
}

#[derive(Debug)]
struct Gpu {
    load: Option<String>,
    clock: Option<String>,
}

/// A temperature and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Its name without `-therm`, in small letters.
    pub name: String,
    /// Temperature at which the kernel lowers clocks, in °C.
    pub throttles_at: Option<i64>,
    /// None where a card tells it.
    node: Option<String>,
}

/// Power of one rail: given, or as voltage and current.
#[derive(Debug)]
struct Rail {
    name: String,
    power_mw: Option<String>,
    volt_mv: String,
    current_ma: String,
}

impl Sensors {
    /// Finds the sensors.
    pub fn find(tree: &Tree) -> Sensors {
        let (gpu, zones, rails) = (gpu(tree), zones(tree), rails(tree));
        Sensors { gpu, zones, rails, cards: Vec::new(), tree: tree.clone(), looked: Instant::now() }
    }

    /// Reads the GPUs at these places, too.
    pub fn follow(&mut self, places: &[Place]) {
        self.take(Card::at(places));
    }

    /// Reads all GPUs whose library is there, too.
    pub fn follow_all(&mut self) {
        self.take(Card::all());
    }

    /// A sensor of the chip goes before what a library tells of the same.
    fn take(&mut self, cards: Vec<Card>) {
        self.zones.retain(|zone| zone.node.is_some());
        for (i, card) in cards.iter().enumerate() {
            let name = numbered("gpu", i, cards.len());
            if self.zones.iter().all(|zone| zone.name != name) {
                self.zones.push(Zone { name, throttles_at: card.throttles_at(), node: None });
            }
        }
        self.cards = cards;
    }

    /// The sensors of temperature.
    pub fn zones(&self) -> &[Zone] {
        &self.zones
    }

    /// Looks for what was missing, if some time has passed, and reads everything.
    pub fn read(&mut self) -> Reading {
        let is_complete =
            self.gpu.as_ref().is_some_and(|gpu| gpu.load.is_some()) && !self.zones.is_empty() && !self.rails.is_empty();
        if !is_complete && self.looked.elapsed() >= LOOK_AGAIN {
            self.look_again();
        }
        self.read_known()
    }

    /// Looks for everything anew.
    pub fn look_again(&mut self) {
        let cards = std::mem::take(&mut self.cards);
        *self = Sensors::find(&self.tree);
        self.take(cards);
    }

    fn read_known(&self) -> Reading {
        let number = |node: &String| self.tree.number(node).map(|n| n as f64);
        let gpu = |node: fn(&Gpu) -> &Option<String>| self.gpu.as_ref().and_then(|gpu| number(node(gpu).as_ref()?));
        let temperatures = self.zones.iter().filter_map(|zone| {
            let value = self.tree.number(zone.node.as_ref()?).filter(|value| *value > TEMPERATURE_MIN)?;
            Some(Named { name: zone.name.clone(), value: value as f64 / 1000.0 })
        });
        let rails: Vec<Named> = self.rails.iter().filter_map(|rail| rail.read(&self.tree)).collect();
        let mut reading = Reading {
            gpu_load: gpu(|gpu| &gpu.load).map(|permille| (permille / 1000.0).clamp(0.0, 1.0)),
            gpu_mhz: gpu(|gpu| &gpu.clock).map(|hz| hz / 1e6),
            gpu_memory_mb: None,
            cpu_mhz: self.tree.number("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq").map(|khz| khz as f64 / 1e3),
            available_mb: super::memory::Memory::read(&self.tree).available_bytes.map(|bytes| (bytes >> 20) as f64),
            temperatures: temperatures.collect(),
            power_w: None,
            rails,
            throttled_by: throttled_by(&self.tree),
        };
        self.add_cards(&mut reading);
        reading.power_w = board_power(&reading.rails);
        reading
    }

    /// What the cards tell, as far as no sensor has told it: the mean of their loads and clocks, the sum of their memory.
    fn add_cards(&self, reading: &mut Reading) {
        let told: Vec<_> = self.cards.iter().map(Card::read).collect();
        let sum = |values: Vec<f64>| (!values.is_empty()).then(|| values.iter().sum::<f64>());
        let mean = |values: Vec<f64>| Some(values.len() as f64).and_then(|n| Some(sum(values)? / n));
        reading.gpu_load = reading.gpu_load.or_else(|| mean(told.iter().filter_map(|it| it.load).collect()));
        reading.gpu_mhz = reading.gpu_mhz.or_else(|| mean(told.iter().filter_map(|it| it.mhz).collect()));
        reading.gpu_memory_mb = sum(told.iter().filter_map(|it| it.memory_mb).collect());
        let has_rails = !reading.rails.is_empty();
        for (i, it) in told.iter().enumerate() {
            let name = numbered("gpu", i, told.len());
            if let (Some(value), true) = (it.celsius, reading.temperatures.iter().all(|zone| zone.name != name)) {
                reading.temperatures.push(Named { name, value });
            }
            if let (Some(value), false) = (it.watts, has_rails) {
                reading.rails.push(Named { name: numbered(CARD_RAIL, i, told.len()), value });
            }
            let new = it.reasons.iter().map(|reason| reason.to_string());
            let new: Vec<String> = new.filter(|reason| !reading.throttled_by.contains(reason)).collect();
            reading.throttled_by.extend(new);
        }
    }
}

impl Rail {
    fn read(&self, tree: &Tree) -> Option<Named> {
        let given = self.power_mw.as_ref().and_then(|node| tree.number(node)).map(|mw| mw as f64 / 1e3);
        let product = || Some(tree.number(&self.volt_mv)? as f64 * tree.number(&self.current_ma)? as f64 / 1e6);
        Some(Named { name: self.name.clone(), value: given.or_else(product)? })
    }
}

/// The name of one of `n`.
fn numbered(name: &str, i: usize, n: usize) -> String {
    if n == 1 { name.to_string() } else { format!("{name}{i}") }
}

/// The input's rail where one is measured, else the sum of those that are not behind each other.
fn board_power(rails: &[Named]) -> Option<f64> {
    let input = rails.iter().find(|rail| INPUT_RAILS.contains(&rail.name.as_str()));
    let sum = || rails.iter().filter(|rail| rail.name != RAIL_BEHIND).map(|rail| rail.value).sum();
    (!rails.is_empty()).then(|| input.map_or_else(sum, |rail| rail.value))
}

fn gpu(tree: &Tree) -> Option<Gpu> {
    let there = |node: String| tree.is_there(&node).then_some(node);
    for clock in tree.beginning("sys/class/devfreq", "") {
        let name = tree.text(&format!("{clock}/device/of_node/name")).unwrap_or_default();
        if GPU_NAMES.contains(&name.as_str()) {
            let elsewhere = || GPU_PLACES.iter().find_map(|place| there(format!("{place}/load")));
            return Some(Gpu {
                load: there(format!("{clock}/device/load")).or_else(elsewhere),
                clock: there(format!("{clock}/cur_freq")),
            });
        }
    }
    GPU_PLACES.iter().find_map(|place| {
        let load = there(format!("{place}/load"))?;
        let clock = tree.beginning(&format!("{place}/devfreq"), "").into_iter().find_map(|dir| there(format!("{dir}/cur_freq")));
        Some(Gpu { load: Some(load), clock })
    })
}

fn zones(tree: &Tree) -> Vec<Zone> {
    let mut zones = Vec::new();
    for dir in tree.beginning("sys/class/thermal", "thermal_zone") {
        let Some(kind) = tree.text(&format!("{dir}/type")) else { continue };
        let kind = kind.to_ascii_lowercase();
        if ZONES_LEFT_OUT.iter().any(|out| kind.starts_with(out)) {
            continue;
        }
        let name = kind.trim_end_matches("-thermal").trim_end_matches("-therm").trim_end_matches("_tegra").to_string();
        zones.push(Zone { name, throttles_at: throttle_point(tree, &dir), node: Some(format!("{dir}/temp")) });
    }
    for dir in tree.beginning("sys/class/hwmon", "hwmon") {
        let is_cpu = tree.text(&format!("{dir}/name")).is_some_and(|name| PC_MONITORS.contains(&name.as_str()));
        if is_cpu && tree.is_there(&format!("{dir}/temp1_input")) {
            zones.push(Zone { name: "cpu".to_string(), throttles_at: None, node: Some(format!("{dir}/temp1_input")) });
        }
    }
    zones
}

/// The lowest trip point at which clocks are lowered: `passive` in the kernel's words.
fn throttle_point(tree: &Tree, dir: &str) -> Option<i64> {
    let points = tree.beginning(dir, "trip_point_").into_iter().filter_map(|path| path.strip_suffix("_type").map(str::to_string));
    let passive = points.filter(|point| tree.text(&format!("{point}_type")).as_deref() == Some("passive"));
    passive.filter_map(|point| tree.number(&format!("{point}_temp"))).filter(|t| *t > 0).min().map(|t| t / 1000)
}

/// The rails of all INA3221 monitors: as an industrial I/O device up to JetPack 4, as a hardware monitor since.
fn rails(tree: &Tree) -> Vec<Rail> {
    let mut rails = Vec::new();
    for chip in tree.beginning("sys/bus/i2c/devices", "") {
        if !tree.text(&format!("{chip}/name")).is_some_and(|name| name.contains("ina3221")) {
            continue;
        }
        tree.beginning(&chip, "iio:device").iter().for_each(|dir| rails.extend(io_rails(tree, dir)));
        tree.beginning(&format!("{chip}/hwmon"), "hwmon").iter().for_each(|dir| rails.extend(monitor_rails(tree, dir)));
    }
    if rails.is_empty() {
        let dirs = tree.beginning("sys/class/hwmon", "hwmon").into_iter();
        let is_monitor = |dir: &String| tree.text(&format!("{dir}/name")).as_deref() == Some("ina3221");
        dirs.filter(is_monitor).for_each(|dir| rails.extend(monitor_rails(tree, &dir)));
    }
    rails
}

fn io_rails(tree: &Tree, dir: &str) -> Vec<Rail> {
    let rail = |i: u32| {
        Some(Rail {
            name: tree.text(&format!("{dir}/rail_name_{i}"))?,
            power_mw: Some(format!("{dir}/in_power{i}_input")),
            volt_mv: format!("{dir}/in_voltage{i}_input"),
            current_ma: format!("{dir}/in_current{i}_input"),
        })
    };
    (0..3).filter_map(rail).collect()
}

fn monitor_rails(tree: &Tree, dir: &str) -> Vec<Rail> {
    let rail = |i: u32| {
        // A channel without a rail is called NC.
        let name = tree.text(&format!("{dir}/in{i}_label")).filter(|name| name != "NC")?;
        Some(Rail { name, power_mw: None, volt_mv: format!("{dir}/in{i}_input"), current_ma: format!("{dir}/curr{i}_input") })
    };
    // The seventh channel is the sum of the shunts' voltages.
    (1..=3).filter_map(rail).collect()
}

/// Coolers at work that are no fans: the kernel lowers clocks through them.
fn throttled_by(tree: &Tree) -> Vec<String> {
    let coolers = tree.beginning("sys/class/thermal", "cooling_device").into_iter();
    let at_work = coolers.filter(|dir| tree.number(&format!("{dir}/cur_state")).is_some_and(|state| state > 0));
    let names = at_work.filter_map(|dir| tree.text(&format!("{dir}/type")));
    let mut names: Vec<String> = names.filter(|name| !name.to_ascii_lowercase().contains("fan")).collect();
    names.sort();
    names.dedup();
    names
}
