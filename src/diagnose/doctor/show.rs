//! An examination for people: one line a thing, then what is to be mended.

use super::{Examination, Level};
use crate::device::memory::Bound;
use crate::device::software::Library;
use std::fmt;

impl fmt::Display for Examination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, text: String| if text.is_empty() { Ok(()) } else { writeln!(f, "{name:11} {text}") };
        line("board", self.board_line())?;
        line("system", self.system_line())?;
        line("cores", self.cores_line())?;
        line("power mode", self.power_line())?;
        line("gpu", self.gpu_line())?;
        line("memory", self.memory_line())?;
        line("disk", self.disk_line())?;
        line("heat", self.heat_line())?;
        line("watts", self.watts_line())?;
        line("cuda", self.cuda_line())?;
        line("cudnn", library(self.software.cudnn.as_ref()))?;
        line("tensorrt", self.tensorrt_line())?;
        for backend in &self.backends {
            let opens = if backend.opens { "opens" } else { "does not open" };
            line("backend", format!("{} {opens}: {}", backend.name, backend.why))?;
        }
        let findings = self.findings();
        if findings.is_empty() {
            return write!(f, "\nnothing to mend");
        }
        for finding in findings {
            let level = match finding.level {
                Level::Problem => "problem",
                Level::Advice => "advice",
            };
            write!(f, "\n{level}: {}\n    {}", finding.what, finding.mend)?;
        }
        Ok(())
    }
}

fn joined<const N: usize>(parts: [Option<String>; N]) -> String {
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn library(library: Option<&Library>) -> String {
    library.map_or("not found".to_string(), |library| format!("{} ({})", library.version, library.path))
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

impl Examination {
    fn board_line(&self) -> String {
        let sm = self.board.sm.map(|sm| format!("compute capability {}.{}", sm / 10, sm % 10));
        let model = self.board.model.clone().or_else(|| Some("a PC".to_string()));
        joined([model, self.board.chip.clone(), sm])
    }

    fn system_line(&self) -> String {
        let l4t = self.board.l4t.as_ref().map(|l4t| format!("Jetson Linux {l4t}"));
        let jetpack = self.board.jetpack.as_ref().map(|jetpack| format!("JetPack {jetpack}"));
        joined([l4t, jetpack, self.board.system.clone(), self.board.kernel.as_ref().map(|kernel| format!("kernel {kernel}"))])
    }

    fn cores_line(&self) -> String {
        let cores = match (self.cpu.online, self.cpu.present) {
            (0, _) => None,
            (online, present) if online < present => Some(format!("{online} of {present} on")),
            (online, _) => Some(format!("{online}")),
        };
        let clocks = self.cpu.mhz.map(|[min, now, max]| format!("{now} MHz of {min} to {max}"));
        joined([cores, clocks, self.cpu.governor.as_ref().map(|governor| format!("governor {governor}"))])
    }

    fn power_line(&self) -> String {
        let mode = self.power.mode_now().map(|mode| format!("{} {}", mode.id, mode.name));
        let others = self.power.modes.iter().filter(|mode| Some(mode.id) != self.power.now);
        let others: Vec<String> = others.map(|mode| format!("{} {}", mode.id, mode.name)).collect();
        joined([mode, (!others.is_empty()).then(|| format!("others: {}", others.join(", ")))])
    }

    fn gpu_line(&self) -> String {
        let load = self.sensors.gpu_load.map(|load| format!("load {:.0} %", 100.0 * load));
        let clock = self.sensors.gpu_mhz.map(|mhz| format!("{mhz:.0} MHz"));
        let memory = self.sensors.gpu_memory_mb.map(|mb| format!("{mb:.0} MiB of its memory used"));
        let cards = (!self.board.cards.is_empty()).then(|| self.board.cards.join(", "));
        joined([cards, self.software.driver.as_ref().map(|driver| format!("driver {driver}")), load, clock, memory])
    }

    fn memory_line(&self) -> String {
        let available = self.memory.available_bytes.map(|bytes| format!("{} available", mib(bytes)));
        let swap = Some(match (self.memory.swap_bytes, self.memory.zram_bytes) {
            (0, 0) => "no swap".to_string(),
            (0, zram) => format!("zram {}", mib(zram)),
            (swap, 0) => format!("swap {}", mib(swap)),
            (swap, zram) => format!("swap {}, zram {}", mib(swap), mib(zram)),
        });
        let used = (self.memory.swap_used_bytes > 0).then(|| format!("{} of it used", mib(self.memory.swap_used_bytes)));
        let group = match self.memory_bound {
            (limit, Bound::ControlGroup) => Some(format!("a control group allows {}", mib(limit))),
            (_, Bound::Machine) => None,
        };
        joined([self.memory.total_bytes.map(mib), available, swap, used, group])
    }

    fn disk_line(&self) -> String {
        let disk = self.disk.as_ref().map(|disk| format!("{} ({})", disk.device, disk.kind.words()));
        let free = self.disk_free_bytes.map(|bytes| format!("{} free", mib(bytes)));
        let speed =
            self.disk_speed.map(|speed| format!("writes {:.0} MB/s, reads {:.0} MB/s", speed.write / 1e6, speed.read / 1e6));
        joined([disk, free, speed])
    }

    fn heat_line(&self) -> String {
        let point = |name: &str| self.throttles_at.iter().find(|(zone, _)| zone == name).map(|(_, point)| *point);
        let zones = self.sensors.temperatures.iter().map(|zone| match point(&zone.name) {
            Some(point) => format!("{} {:.0} °C of {point}", zone.name, zone.value),
            None => format!("{} {:.0} °C", zone.name, zone.value),
        });
        let zones: Vec<String> = zones.collect();
        let throttled = &self.sensors.throttled_by;
        let throttled = (!throttled.is_empty()).then(|| format!("clocks lowered by {}", throttled.join(", ")));
        let fan = self.fan.map(|pwm| format!("fan at {} %", pwm * 100 / 255));
        joined([(!zones.is_empty()).then(|| zones.join(", ")), fan, throttled])
    }

    fn watts_line(&self) -> String {
        let total = self.sensors.power_w.map(|watts| format!("{watts:.1} W"));
        let rails: Vec<String> = self.sensors.rails.iter().map(|rail| format!("{} {:.1}", rail.name, rail.value)).collect();
        joined([total, (!rails.is_empty()).then(|| rails.join(", "))])
    }

    fn cuda_line(&self) -> String {
        let toolkit = Some(self.software.cuda.as_ref().map_or("no toolkit".to_string(), |cuda| format!("toolkit {cuda}")));
        let libcuda = Some(format!("libcuda {}", self.software.libcuda.as_ref().map_or("not found", |library| &library.path)));
        joined([toolkit, libcuda, Some(format!("libnvrtc {}", library(self.software.nvrtc.as_ref())))])
    }

    fn tensorrt_line(&self) -> String {
        joined([Some(library(self.software.tensorrt.as_ref())), self.software.trtexec.clone()])
    }
}
