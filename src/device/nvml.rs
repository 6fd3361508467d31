//! NVIDIA's management library: load, clocks, memory, heat and power of GPUs.
//!
//! libnvidia-ml is looked for at run time, and each of its functions by itself: older ones lack some, and those of boards
//! (JetPack 6) answer most questions with "not supported". What is not told is left out. Types and numbers are those of
//! nvml.h, which have not changed since CUDA 10.

use libloading::Library;
use std::ffi::{CString, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::sync::OnceLock;

/// Names of the library: the driver brings the first, the second is a link of its development files.
const NAMES: [&str; 2] = ["libnvidia-ml.so.1", "libnvidia-ml.so"];
/// `NVML_SUCCESS`.
const SUCCESS: c_int = 0;
/// `NVML_CLOCK_SM`.
const CLOCK_SM: c_uint = 1;
/// `NVML_TEMPERATURE_GPU`.
const SENSOR_GPU: c_uint = 0;
/// `NVML_TEMPERATURE_THRESHOLD_SLOWDOWN`.
const THRESHOLD_SLOWDOWN: c_uint = 1;
/// Why clocks are lowered, bit by bit; an idle GPU and clocks that somebody has set are no reasons.
const REASONS: [(u64, &str); 5] =
    [(0x4, "GPU power cap"), (0x8, "GPU hardware slowdown"), (0x20, "GPU heat"), (0x40, "GPU heat"), (0x80, "GPU power brake")];
/// Most GPUs of a machine that are looked at.
const CARDS_MAX: u32 = 16;

/// A GPU as the library knows it.
type Handle = *mut c_void;
type Number = unsafe extern "C" fn(Handle, *mut c_uint) -> c_int;
type Chosen = unsafe extern "C" fn(Handle, c_uint, *mut c_uint) -> c_int;

/// Where a GPU is on the PCI bus; all zero for one that is part of the chip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Place {
    /// Domain.
    pub domain: u32,
    /// Bus.
    pub bus: u32,
    /// Device.
    pub device: u32,
}

/// The library, started once and kept until the process ends.
struct Nvml {
    by_place: Option<unsafe extern "C" fn(*const c_char, *mut Handle) -> c_int>,
    by_index: Option<unsafe extern "C" fn(c_uint, *mut Handle) -> c_int>,
    count: Option<unsafe extern "C" fn(*mut c_uint) -> c_int>,
    /// Percent of the GPU and of its memory's bus.
    load: Option<unsafe extern "C" fn(Handle, *mut [c_uint; 2]) -> c_int>,
    /// MHz.
    clock: Option<Chosen>,
    /// All, free and used, in bytes.
    memory: Option<unsafe extern "C" fn(Handle, *mut [c_ulonglong; 3]) -> c_int>,
    /// °C.
    temperature: Option<Chosen>,
    threshold: Option<Chosen>,
    /// mW.
    power: Option<Number>,
    reasons: Option<unsafe extern "C" fn(Handle, *mut c_ulonglong) -> c_int>,
    // The functions are in it.
    _library: Library,
}

impl Nvml {
    /// The library of this machine; none where it is missing or does not start.
    fn get() -> Option<&'static Nvml> {
        static NVML: OnceLock<Option<Nvml>> = OnceLock::new();
        NVML.get_or_init(Nvml::load).as_ref()
    }

    fn load() -> Option<Nvml> {
        // SAFETY: loading runs the library's initialisers, which libnvidia-ml has for that.
        let library = NAMES.into_iter().find_map(|name| unsafe { Library::new(name) }.ok())?;
        // SAFETY: nvml.h gives this type to the function.
        let init = unsafe { function::<unsafe extern "C" fn() -> c_int>(&library, "nvmlInit_v2") }?;
        // SAFETY: it may be called first, and takes nothing.
        if unsafe { init() } != SUCCESS {
            return None;
        }
        // SAFETY: nvml.h gives these types to the functions of these names; the last is known by two.
        Some(unsafe {
            Nvml {
                by_place: function(&library, "nvmlDeviceGetHandleByPciBusId_v2"),
                by_index: function(&library, "nvmlDeviceGetHandleByIndex_v2"),
                count: function(&library, "nvmlDeviceGetCount_v2"),
                load: function(&library, "nvmlDeviceGetUtilizationRates"),
                clock: function(&library, "nvmlDeviceGetClockInfo"),
                memory: function(&library, "nvmlDeviceGetMemoryInfo"),
                temperature: function(&library, "nvmlDeviceGetTemperature"),
                threshold: function(&library, "nvmlDeviceGetTemperatureThreshold"),
                power: function(&library, "nvmlDeviceGetPowerUsage"),
                reasons: function(&library, "nvmlDeviceGetCurrentClocksEventReasons")
                    .or_else(|| function(&library, "nvmlDeviceGetCurrentClocksThrottleReasons")),
                _library: library,
            }
        })
    }

    fn len(&self) -> u32 {
        let mut n = 0;
        // SAFETY: the library is started; one number is written.
        let told = self.count.map(|count| unsafe { count(&mut n) });
        if told == Some(SUCCESS) { n.min(CARDS_MAX) } else { 0 }
    }

    fn at_index(&'static self, index: u32) -> Option<Card> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: the library is started; one handle is written.
        let code = unsafe { self.by_index?(index, &mut handle) };
        (code == SUCCESS).then_some(Card { nvml: self, handle })
    }

    fn at_place(&'static self, place: Place) -> Option<Card> {
        let text = CString::new(format!("{:08x}:{:02x}:{:02x}.0", place.domain, place.bus, place.device)).ok()?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: the library is started; the text ends with a zero byte; one handle is written.
        let code = unsafe { self.by_place?(text.as_ptr(), &mut handle) };
        (code == SUCCESS).then_some(Card { nvml: self, handle })
    }
}

/// The function of this name.
///
/// # Safety
/// `F` is the type of that function.
unsafe fn function<F: Copy>(library: &Library, name: &str) -> Option<F> {
    // SAFETY: the caller's promise.
    unsafe { library.get::<F>(name.as_bytes()) }.ok().map(|found| *found)
}

/// One GPU.
pub(super) struct Card {
    nvml: &'static Nvml,
    handle: Handle,
}

// SAFETY: the library may be called from any thread (nvml.h), and a handle is a name of a GPU that never goes away.
unsafe impl Send for Card {}

impl std::fmt::Debug for Card {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Card({:?})", self.handle)
    }
}

/// What a GPU tells at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Told {
    /// Share of the time in which a kernel ran, 0 to 1.
    pub load: Option<f64>,
    /// Clock of the multiprocessors in MHz.
    pub mhz: Option<f64>,
    /// Memory in use, in MiB.
    pub memory_mb: Option<f64>,
    /// Temperature in °C.
    pub celsius: Option<f64>,
    /// Power in W.
    pub watts: Option<f64>,
    /// What lowers the clocks.
    pub reasons: Vec<&'static str>,
}

impl Card {
    /// All GPUs of this machine.
    pub fn all() -> Vec<Card> {
        let Some(nvml) = Nvml::get() else { return Vec::new() };
        (0..nvml.len()).filter_map(|index| nvml.at_index(index)).collect()
    }

    /// The GPUs at these places. One that the bus does not know is the only one there is: part of the chip.
    pub fn at(places: &[Place]) -> Vec<Card> {
        let Some(nvml) = Nvml::get() else { return Vec::new() };
        let alone = || if nvml.len() == 1 { nvml.at_index(0) } else { None };
        places.iter().filter_map(|place| nvml.at_place(*place).or_else(alone)).collect()
    }

    /// Temperature in °C from which on the GPU lowers its clocks.
    pub fn throttles_at(&self) -> Option<i64> {
        self.chosen(self.nvml.threshold, THRESHOLD_SLOWDOWN).map(i64::from)
    }

    /// Asks for everything.
    pub fn read(&self) -> Told {
        let load = self.ask(self.nvml.load.map(|f| {
            move |handle, out: *mut [c_uint; 2]| {
                // SAFETY: two numbers are written.
                unsafe { f(handle, out) }
            }
        }));
        let memory = self.ask(self.nvml.memory.map(|f| {
            move |handle, out: *mut [c_ulonglong; 3]| {
                // SAFETY: three numbers are written.
                unsafe { f(handle, out) }
            }
        }));
        let power = self.ask(self.nvml.power.map(|f| {
            move |handle, out: *mut c_uint| {
                // SAFETY: one number is written.
                unsafe { f(handle, out) }
            }
        }));
        let reasons = self.ask(self.nvml.reasons.map(|f| {
            move |handle, out: *mut c_ulonglong| {
                // SAFETY: one number is written.
                unsafe { f(handle, out) }
            }
        }));
        let mut reasons: Vec<&str> =
            REASONS.iter().filter(|(bit, _)| reasons.is_some_and(|set| set & bit != 0)).map(|(_, words)| *words).collect();
        reasons.dedup();
        Told {
            load: load.map(|[percent, _]| f64::from(percent.min(100)) / 100.0),
            mhz: self.chosen(self.nvml.clock, CLOCK_SM).map(f64::from),
            memory_mb: memory.map(|[_, _, used]| (used >> 20) as f64),
            celsius: self.chosen(self.nvml.temperature, SENSOR_GPU).map(f64::from),
            watts: power.map(|mw| f64::from(mw) / 1e3),
            reasons,
        }
    }

    fn chosen(&self, function: Option<Chosen>, which: c_uint) -> Option<c_uint> {
        self.ask(function.map(|f| {
            move |handle, out: *mut c_uint| {
                // SAFETY: the handle is a GPU's; one number is written.
                unsafe { f(handle, which, out) }
            }
        }))
    }

    /// What a function writes, if it is there and succeeds.
    fn ask<T: Default>(&self, call: Option<impl Fn(Handle, *mut T) -> c_int>) -> Option<T> {
        let mut out = T::default();
        (call?(self.handle, &mut out) == SUCCESS).then_some(out)
    }
}
