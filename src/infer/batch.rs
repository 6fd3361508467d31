//! One evaluator for several threads and games: what they ask at about the same time is evaluated as one batch.
//!
//! Nobody waits for company longer than [`Batcher::new`] was told, and who is alone does not wait at all. While the
//! evaluator is busy the next batch gathers.

use super::{Evaluation, Evaluator, Looks, Request};
use crate::base::{Error, Result};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Shares an evaluator.
pub struct Batcher(Arc<Shared>);

/// One thread's way to the evaluator of a [`Batcher`].
pub struct Client(Arc<Shared>);

struct Shared {
    evaluator: Mutex<Box<dyn Evaluator>>,
    state: Mutex<State>,
    changed: Condvar,
    wait: Duration,
    batch_max: usize,
    looks: Looks,
    about: String,
    version: u32,
}

#[derive(Default)]
struct State {
    batches: Vec<Batch>,
    /// The batch that still takes requests.
    open: Option<usize>,
    free: Vec<usize>,
    n_clients: usize,
}

/// Requests and answers of a batch on its way.
#[derive(Default)]
struct Batch {
    content: Content,
    /// Threads that have requests in it and have not taken their answers.
    n_clients: usize,
    told: Option<Result<()>>,
}

#[derive(Default)]
struct Content {
    rows: Vec<u8>,
    requests: Vec<Asked>,
    answers: Vec<Evaluation>,
}

struct Asked {
    at: usize,
    bytes: usize,
    len: usize,
    symmetry: u8,
}

impl Batcher {
    /// Shares `evaluator`; a thread waits at most `wait` for others to ask too.
    pub fn new(evaluator: Box<dyn Evaluator>, wait: Duration) -> Batcher {
        let (batch_max, looks) = (evaluator.batch_max(), evaluator.looks_at());
        let (about, version) = (evaluator.describe(), evaluator.version());
        let (evaluator, state) = (Mutex::new(evaluator), Mutex::new(State::default()));
        Batcher(Arc::new(Shared { evaluator, state, changed: Condvar::new(), wait, batch_max, looks, about, version }))
    }

    /// A way to the evaluator for one more thread. It is counted until it is dropped.
    pub fn client(&self) -> Client {
        self.0.state().n_clients += 1;
        Client(self.0.clone())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.0.state().n_clients -= 1;
        // Others may be waiting for this one.
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn evaluator(&self) -> MutexGuard<'_, Box<dyn Evaluator>> {
        self.evaluator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts requests into the open batch, or into a new one: its place, the first request's, and whether it is new.
    fn join(&self, state: &mut State, rows: &[Request<'_>]) -> (usize, usize, bool) {
        let (at, is_new) = match state.open {
            Some(at) => (at, false),
            None => {
                let at = state.free.pop().unwrap_or_else(|| {
                    state.batches.push(Batch::default());
                    state.batches.len() - 1
                });
                state.open = Some(at);
                (at, true)
            }
        };
        let batch = &mut state.batches[at];
        batch.n_clients += 1;
        let content = &mut batch.content;
        let first = content.requests.len();
        for row in rows {
            let bytes = row.row.len();
            content.requests.push(Asked { at: content.rows.len(), bytes, len: row.len, symmetry: row.symmetry });
            content.rows.extend_from_slice(row.row);
        }
        (at, first, is_new)
    }

    /// Waits for others, evaluates the batch, and tells all of them.
    fn lead(&self, at: usize) {
        let until = Instant::now() + self.wait;
        let mut state = self.state();
        loop {
            let batch = &state.batches[at];
            let left = until.saturating_duration_since(Instant::now());
            if batch.content.requests.len() >= self.batch_max || batch.n_clients >= state.n_clients || left.is_zero() {
                break;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(state);
        // While another batch is being evaluated, this one goes on gathering.
        let mut evaluator = self.evaluator();
        let mut state = self.state();
        state.open = None;
        let mut content = std::mem::take(&mut state.batches[at].content);
        drop(state);
        let mut leader = Leader { shared: self, at, content: Content::default(), told: Err(Error::new("evaluator", "panicked")) };
        let told = evaluate(&mut **evaluator, &mut content);
        drop(evaluator);
        (leader.content, leader.told) = (content, told);
    }
}

/// Gives a batch back to those who wait for it, also when the evaluator panics.
struct Leader<'a> {
    shared: &'a Shared,
    at: usize,
    content: Content,
    told: Result<()>,
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        let batch = &mut state.batches[self.at];
        batch.content = std::mem::take(&mut self.content);
        batch.told = Some(std::mem::replace(&mut self.told, Ok(())));
        self.shared.changed.notify_all();
    }
}

fn evaluate(evaluator: &mut dyn Evaluator, content: &mut Content) -> Result<()> {
    let Content { rows, requests, answers } = content;
    if answers.len() < requests.len() {
        answers.resize(requests.len(), Evaluation::default());
    }
    let requests: Vec<Request<'_>> =
        requests.iter().map(|r| Request { row: &rows[r.at..r.at + r.bytes], len: r.len, symmetry: r.symmetry }).collect();
    evaluator.evaluate(&requests, &mut answers[..requests.len()])
}

impl Evaluator for Client {
    fn evaluate(&mut self, rows: &[Request<'_>], out: &mut [Evaluation]) -> Result<()> {
        let shared = &*self.0;
        if rows.is_empty() {
            return Ok(());
        }
        if out.len() < rows.len() {
            return Err(Error::new("evaluation", format!("room for {} answers, {} positions", out.len(), rows.len())));
        }
        let mut state = shared.state();
        if state.n_clients == 1 {
            drop(state);
            return shared.evaluator().evaluate(rows, out);
        }
        let (at, first, is_new) = shared.join(&mut state, rows);
        shared.changed.notify_all();
        if is_new {
            drop(state);
            shared.lead(at);
            state = shared.state();
        }
        while state.batches[at].told.is_none() {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let batch = &mut state.batches[at];
        let told = batch.told.clone().expect("waited for");
        if told.is_ok() {
            out.iter_mut().zip(&mut batch.content.answers[first..][..rows.len()]).for_each(|(to, from)| std::mem::swap(to, from));
        }
        batch.n_clients -= 1;
        if batch.n_clients == 0 {
            batch.told = None;
            batch.content.rows.clear();
            batch.content.requests.clear();
            state.free.push(at);
        }
        told
    }

    fn batch_max(&self) -> usize {
        self.0.batch_max
    }

    fn describe(&self) -> String {
        self.0.about.clone()
    }

    fn version(&self) -> u32 {
        self.0.version
    }

    fn looks_at(&self) -> Looks {
        self.0.looks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::packed::PackedRow;
    use crate::infer::scripted::Scripted;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    /// Counts batches, and answers with the symmetry asked for.
    struct Slow(Arc<AtomicUsize>);

    impl Evaluator for Slow {
        fn evaluate(&mut self, rows: &[Request<'_>], out: &mut [Evaluation]) -> Result<()> {
            self.0.fetch_add(1, Relaxed);
            std::thread::sleep(Duration::from_millis(2));
            if rows.iter().any(|r| r.len == 3) {
                return Err(Error::new("row", "is not liked"));
            }
            rows.iter()
                .zip(out)
                .for_each(|(r, o)| *o = Evaluation { value: [f32::from(r.symmetry); 3], ..Evaluation::even(r.len) });
            Ok(())
        }
        fn batch_max(&self) -> usize {
            4
        }
        fn describe(&self) -> String {
            "slow".to_string()
        }
    }

    #[test]
    fn threads_share_batches_and_get_their_own_answers() {
        let n_batches = Arc::new(AtomicUsize::new(0));
        let batcher = Batcher::new(Box::new(Slow(n_batches.clone())), Duration::from_secs(2));
        let clients: Vec<Client> = (0..4).map(|_| batcher.client()).collect();
        std::thread::scope(|scope| {
            for (i, mut client) in clients.into_iter().enumerate() {
                scope.spawn(move || {
                    let row = PackedRow::new(5);
                    let mut out = vec![Evaluation::default(); 2];
                    for turn in 0..25 {
                        let symmetry = ((i + turn) % 7) as u8;
                        let ask = |symmetry| Request { row: row.bytes(), len: 5, symmetry };
                        client.evaluate(&[ask(symmetry), ask(symmetry + 1)], &mut out).unwrap();
                        assert_eq!([out[0].value[0], out[1].value[0]], [f32::from(symmetry), f32::from(symmetry + 1)]);
                    }
                });
            }
        });
        let n = n_batches.load(Relaxed);
        assert!((25..80).contains(&n), "{n} batches for 100 calls");
    }

    #[test]
    fn one_is_not_kept_waiting_and_errors_come_through() {
        let batcher = Batcher::new(Box::new(Slow(Arc::default())), Duration::from_secs(100));
        let mut client = batcher.client();
        let row = PackedRow::new(3);
        let mut out = vec![Evaluation::default(); 1];
        let ask = Request { row: row.bytes(), len: 3, symmetry: 0 };
        assert!(client.evaluate(&[ask], &mut out).is_err() && client.evaluate(&[ask; 2], &mut out).is_err());
        // Another that does not ask costs the wait, no more.
        let idle = Batcher::new(Box::new(Scripted::new(4, |r: &Request<'_>| Evaluation::even(r.len))), Duration::from_millis(5));
        let (mut one, _other) = (idle.client(), idle.client());
        let begun = Instant::now();
        one.evaluate(&[ask], &mut out).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(50) && out[0].policy.len() == 10);
    }
}
