//! The threads of the backend: a caller and its helpers, who share out the items of one job after another.
//!
//! An evaluation of one position is some hundred jobs of a few microseconds each, so helpers wait for the next job
//! awake for a while before they sleep. A helper that comes late finds the job closed and does nothing: the caller
//! never waits for a thread that has not begun.

use super::{CpuBuf, lock};
use crate::base::{Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Looks for the next job before a waiting thread lets others run: some thirty microseconds, longer than the gaps between the
/// jobs of a walk, and little beside what is lost when two threads share a core.
const SPINS: u32 = 2_000;
/// Times that it lets others run before it sleeps.
const YIELDS: u32 = 100;

/// The job's number is above these bits of the state, its workers below.
const OPEN: u64 = 1 << 16;
const WORKERS: u64 = OPEN - 1;
const NUMBER: u64 = 1 << 17;

/// The next item of a thread's own part, alone on its cache line.
#[derive(Default)]
#[repr(align(64))]
struct Next(AtomicUsize);

/// A job: called with every item and the thread's number.
#[derive(Clone, Copy)]
struct Job {
    call: *const (dyn Fn(usize, usize) + Sync),
    items: usize,
}

struct Shared {
    /// Number of the job, whether it is open, and how many helpers are at it.
    state: AtomicU64,
    /// Valid while the state is open or helpers are at it.
    job: std::cell::UnsafeCell<Option<Job>>,
    next: Vec<Next>,
    failed: AtomicBool,
    quit: AtomicBool,
    sleepers: AtomicUsize,
    bed: Mutex<()>,
    bell: Condvar,
}

// SAFETY: `job` is written only by the caller while the state is closed with no helper at it, and read only by
// helpers that have entered the open state; the state's atomic operations order the two.
unsafe impl Sync for Shared {}
// SAFETY: the pointer in `job` is used under the same rule.
unsafe impl Send for Shared {}

/// A caller and its helpers.
pub(super) struct Team {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
    /// One job at a time; the scratch memory of each thread.
    turn: Mutex<()>,
    scratch: Vec<Mutex<CpuBuf>>,
    /// Numbers that every thread's scratch holds.
    scratch_len: AtomicUsize,
}

impl Team {
    /// The caller and `threads - 1` helpers.
    pub fn new(threads: usize) -> Result<Team> {
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            job: std::cell::UnsafeCell::new(None),
            next: (0..threads).map(|_| Next::default()).collect(),
            failed: AtomicBool::new(false),
            quit: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
            bed: Mutex::new(()),
            bell: Condvar::new(),
        });
        let scratch = (0..threads).map(|_| Mutex::default()).collect();
        let mut team = Team { shared, helpers: Vec::new(), turn: Mutex::new(()), scratch, scratch_len: AtomicUsize::new(0) };
        for thread in 1..threads {
            let shared = Arc::clone(&team.shared);
            let builder = std::thread::Builder::new().name(format!("compute-{thread}"));
            let helper = builder.spawn(move || help(&shared, thread)).map_err(|e| Error::new("compute threads", e))?;
            team.helpers.push(helper);
        }
        Ok(team)
    }

    /// Caller and helpers.
    pub fn threads(&self) -> usize {
        self.scratch.len()
    }

    /// Calls `f` once with every item from 0 to `items` and the number of the thread, and returns when all is done.
    pub fn run(&self, items: usize, f: impl Fn(usize, usize) + Sync) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if items <= 1 || self.helpers.is_empty() {
            return (0..items).for_each(|i| f(i, 0));
        }
        let s = &*self.shared;
        let call: *const (dyn Fn(usize, usize) + Sync + '_) = &f;
        // SAFETY: only the lifetime changes; `call` is not used after this function has closed the job and seen the
        // last helper leave, and `f` lives until then.
        let call: *const (dyn Fn(usize, usize) + Sync) = unsafe { std::mem::transmute(call) };
        // SAFETY: the state is closed with no helper at it, as at the end of the call before, and `turn` is held.
        unsafe { *s.job.get() = Some(Job { call, items }) };
        s.next.iter().for_each(|next| next.0.store(0, Ordering::Relaxed));
        let number = (s.state.load(Ordering::Relaxed) / NUMBER + 1) * NUMBER;
        s.state.store(number | OPEN, Ordering::SeqCst);
        if s.sleepers.load(Ordering::SeqCst) > 0 {
            let _bed = s.bed.lock().unwrap_or_else(PoisonError::into_inner);
            s.bell.notify_all();
        }
        let mine = catch_unwind(AssertUnwindSafe(|| share(s, items, 0, &|i| f(i, 0))));
        s.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut spins = 0;
        while s.state.load(Ordering::Acquire) & WORKERS != 0 {
            pause(&mut spins);
        }
        let theirs = s.failed.swap(false, Ordering::Relaxed);
        if let Err(panic) = mine {
            resume_unwind(panic);
        }
        assert!(!theirs, "a helper panicked; its message is above");
    }

    /// Calls `f` with every item of `parts` and the thread's scratch of `scratch_len` numbers, which hold anything.
    pub fn each<P: Parts>(&self, parts: P, scratch_len: usize, f: impl Fn(P::Item, &mut [f32]) + Sync) {
        // A helper may miss a job, so all scratch grows here: once a job has been run, running it again allocates nothing.
        if scratch_len > self.scratch_len.load(Ordering::Relaxed) {
            for scratch in &self.scratch {
                lock(scratch).first(scratch_len);
            }
            self.scratch_len.fetch_max(scratch_len, Ordering::Relaxed);
        }
        self.run(parts.count(), |i, thread| {
            // SAFETY: the job hands out every item once.
            let item = unsafe { parts.get(i) };
            if scratch_len == 0 {
                return f(item, &mut []);
            }
            f(item, lock(&self.scratch[thread]).first(scratch_len));
        });
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.quit.store(true, Ordering::SeqCst);
        {
            let _bed = self.shared.bed.lock().unwrap_or_else(PoisonError::into_inner);
            self.shared.bell.notify_all();
        }
        for helper in self.helpers.drain(..) {
            // a helper catches the panics of its jobs
            let _ = helper.join();
        }
    }
}

/// Takes the items of its own part, then those that others have left. Parts are the same from job to job, so what a thread
/// reads is mostly what it wrote itself: cores that share no cache are slow to hand it over.
fn share(s: &Shared, items: usize, thread: usize, f: &dyn Fn(usize)) {
    let threads = s.next.len();
    for owner in (thread..threads).chain(0..thread) {
        let (from, end) = (owner * items / threads, (owner + 1) * items / threads);
        loop {
            let i = from + s.next[owner].0.fetch_add(1, Ordering::Relaxed);
            if i >= end {
                break;
            }
            f(i);
        }
    }
}

fn pause(spins: &mut u32) {
    *spins += 1;
    if *spins < SPINS {
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}

/// A helper's life.
fn help(s: &Shared, thread: usize) {
    let mut seen = 0;
    while let Some(state) = wait(s, seen) {
        let open = state & OPEN != 0;
        if open && s.state.compare_exchange(state, state + 1, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            // closed meanwhile, or another helper was faster: look again
            continue;
        }
        seen = state / NUMBER;
        if !open {
            continue;
        }
        // SAFETY: this thread has entered the open state, so the caller keeps the job as it is until it has left.
        let job = unsafe { *s.job.get() };
        if let Some(Job { call, items }) = job {
            // SAFETY: as above, the closure lives as long as the job.
            let call = unsafe { &*call };
            if catch_unwind(AssertUnwindSafe(|| share(s, items, thread, &|i| call(i, thread)))).is_err() {
                s.failed.store(true, Ordering::Relaxed);
            }
        }
        s.state.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The state when its number is another one than `seen`; None at the end of the team.
fn wait(s: &Shared, seen: u64) -> Option<u64> {
    let news = || {
        let state = s.state.load(Ordering::SeqCst);
        (state / NUMBER != seen).then_some(state)
    };
    let mut spins = 0;
    while spins < SPINS + YIELDS {
        if let Some(state) = news() {
            return Some(state);
        }
        pause(&mut spins);
    }
    let mut bed = s.bed.lock().unwrap_or_else(PoisonError::into_inner);
    s.sleepers.fetch_add(1, Ordering::SeqCst);
    let state = loop {
        if s.quit.load(Ordering::SeqCst) {
            break None;
        }
        if let Some(state) = news() {
            break Some(state);
        }
        bed = s.bell.wait(bed).unwrap_or_else(PoisonError::into_inner);
    };
    s.sleepers.fetch_sub(1, Ordering::SeqCst);
    state
}

/// Something in parts that threads may work on at the same time.
pub(super) trait Parts: Sync {
    /// A part.
    type Item;
    /// Number of parts.
    fn count(&self) -> usize;
    /// Part `i`.
    /// # Safety
    /// No `i` is asked for twice; `i` is below the count.
    unsafe fn get(&self, i: usize) -> Self::Item;
}

/// Chunks of a slice, the last one may be shorter.
pub(super) struct Chunks<'a, T>(pub &'a [T], pub usize);

impl<'a, T: Sync> Parts for Chunks<'a, T> {
    type Item = &'a [T];
    fn count(&self) -> usize {
        self.0.len().div_ceil(self.1)
    }
    unsafe fn get(&self, i: usize) -> &'a [T] {
        &self.0[i * self.1..((i + 1) * self.1).min(self.0.len())]
    }
}

/// Chunks of a slice to be changed.
pub(super) struct ChunksMut<'a, T> {
    data: *mut T,
    len: usize,
    chunk: usize,
    slice: std::marker::PhantomData<&'a mut [T]>,
}

// SAFETY: it is a mutable slice, of which each part goes to one thread.
unsafe impl<T: Send> Sync for ChunksMut<'_, T> {}

impl<'a, T> ChunksMut<'a, T> {
    /// Chunks of `chunk` elements.
    pub fn new(slice: &'a mut [T], chunk: usize) -> ChunksMut<'a, T> {
        ChunksMut { data: slice.as_mut_ptr(), len: slice.len(), chunk, slice: std::marker::PhantomData }
    }
}

impl<'a, T: Send> Parts for ChunksMut<'a, T> {
    type Item = &'a mut [T];
    fn count(&self) -> usize {
        self.len.div_ceil(self.chunk)
    }
    unsafe fn get(&self, i: usize) -> &'a mut [T] {
        let from = i * self.chunk;
        let to = (from + self.chunk).min(self.len);
        assert!(from < to);
        // SAFETY: within the slice by the assertion; parts do not overlap, and the caller asks for each once.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(from), to - from) }
    }
}

/// Numbers.
impl Parts for std::ops::Range<usize> {
    type Item = usize;
    fn count(&self) -> usize {
        self.len()
    }
    unsafe fn get(&self, i: usize) -> usize {
        self.start + i
    }
}

macro_rules! parts_of_tuples {
    ($($name:ident $at:tt),*) => {
        /// Parts side by side; as many as the first has.
        impl<$($name: Parts),*> Parts for ($($name,)*) {
            type Item = ($($name::Item,)*);
            fn count(&self) -> usize {
                self.0.count()
            }
            unsafe fn get(&self, i: usize) -> Self::Item {
                // SAFETY: the caller's promise is passed on; indices beyond a shorter part fail its own check.
                unsafe { ($(self.$at.get(i),)*) }
            }
        }
    };
}
parts_of_tuples!(A 0, B 1);
parts_of_tuples!(A 0, B 1, C 2);
parts_of_tuples!(A 0, B 1, C 2, D 3);
parts_of_tuples!(A 0, B 1, C 2, D 3, E 4);
parts_of_tuples!(A 0, B 1, C 2, D 3, E 4, F 5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_once() {
        for threads in [1, 2, 5] {
            let team = Team::new(threads).unwrap();
            for round in 0..300usize {
                let mut y = vec![0u32; round];
                team.each((ChunksMut::new(&mut y, 3), 0..round), 4, |(y, i), scratch| {
                    assert_eq!(scratch.len(), 4);
                    y.iter_mut().for_each(|y| *y += i as u32 + 1);
                });
                assert!(y.iter().enumerate().all(|(i, y)| *y == i as u32 / 3 + 1), "{threads} {round}");
                if round % 100 == 99 {
                    // long enough for helpers to fall asleep
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
            }
        }
    }

    #[test]
    fn panics_reach_the_caller_and_the_team_lives_on() {
        let team = Team::new(3).unwrap();
        for _ in 0..20 {
            assert!(catch_unwind(AssertUnwindSafe(|| team.run(50, |i, _| assert!(i != 30)))).is_err());
            let sum = AtomicUsize::new(0);
            team.run(50, |i, _| {
                sum.fetch_add(i, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 1225);
        }
    }
}
