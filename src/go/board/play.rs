//! Playing a stone and taking it back: chains join, split, go and come while liberties stay counted.

use super::{Board, Cell, Taken, stone_hash};
use crate::go::point::{Color, Point};
use crate::go::pointset::{PointList, PointSet};

/// What [`Board::take_back`] needs to restore the board before a move, bit for bit.
#[derive(Clone, Debug)]
pub struct Undo {
    point: Point,
    color: Color,
    ko: Option<Point>,
    hash: u64,
    /// What the entries of the point held: they may name a chain that an earlier move took off.
    old: Links,
    /// The chains that the stone joined, as they were; the first is the one that the others became part of.
    friends: heapless::Vec<Friend, 4, u8>,
    /// A stone of each chain taken off, in their order.
    gone: heapless::Vec<u16, 4, u8>,
    taken: Taken,
}

/// The entries of one cell.
#[derive(Clone, Copy, Debug)]
struct Links {
    head: u16,
    next: u16,
    liberties: u16,
    stones: u16,
}

/// A chain by its head, with its liberties and stones.
#[derive(Clone, Copy, Debug)]
struct Friend {
    head: u16,
    liberties: u16,
    stones: u16,
}

impl Undo {
    /// The stones that the move took off.
    pub fn taken(&self) -> Taken {
        self.taken
    }

    /// The point of the move.
    pub fn point(&self) -> Point {
        self.point
    }

    /// [`Board::hash`] before the move.
    pub fn hash_before(&self) -> u64 {
        self.hash
    }

    /// [`Board::ko`] before the move.
    pub fn ko_before(&self) -> Option<Point> {
        self.ko
    }
}

/// Up to four heads of chains around a point, each once.
#[derive(Default)]
struct Heads([u16; 4]);

impl Heads {
    /// True if the head is new. No head is 0, which is a wall cell.
    fn insert(&mut self, i: usize, head: u16) -> bool {
        let new = !self.0.contains(&head);
        self.0[i] = head;
        new
    }
}

impl Board {
    /// Plays a stone on an empty point: takes chains off, own ones in a suicide, and sets the ko point.
    pub fn play(&mut self, p: Point, color: Color) -> Taken {
        self.play_with_undo(p, color).taken
    }

    /// [`Board::play`], with what [`Board::take_back`] asks for.
    pub fn play_with_undo(&mut self, p: Point, color: Color) -> Undo {
        assert!(self.is_empty(p), "a stone needs an empty point");
        let mut undo = self.put(p, color);
        self.ko = None;
        let opponent = color.opponent();
        let mut last_taken = p;
        for q in p.around() {
            if self.cells[q.0 as usize] == Cell::of(opponent) && self.liberties(q) == 0 {
                undo.taken.stones[opponent.index()] += self.remove_chain(q, opponent);
                undo.gone.push(q.0).expect("four neighbours at the most");
                last_taken = q;
            }
        }
        if self.liberties(p) == 0 {
            undo.taken.stones[color.index()] += self.remove_chain(p, color);
        } else if undo.taken.stones[opponent.index()] == 1 && self.chain_len(p) == 1 && self.liberties(p) == 1 {
            self.ko = Some(last_taken);
        }
        undo
    }

    /// The points of the stones, Black's and White's, that the latest move took off; `undo` is what playing it gave.
    pub(crate) fn points_taken(&self, undo: &Undo) -> [PointSet; 2] {
        let mut points = [PointSet::default(); 2];
        let own = (undo.taken.stones[undo.color.index()] > 0).then_some((undo.point.0, undo.color));
        for (first, color) in undo.gone.iter().map(|&q| (q, undo.color.opponent())).chain(own) {
            // The links of a chain that went stay.
            let mut s = first;
            loop {
                points[color.index()].insert(Point(s));
                s = self.next[s as usize];
                if s == first {
                    break;
                }
            }
        }
        points
    }

    /// Takes the latest move back; `undo` is what playing it gave, and later moves were taken back before.
    pub fn take_back(&mut self, undo: &Undo) {
        let (p, color) = (undo.point, undo.color);
        if undo.taken.stones[color.index()] > 0 {
            self.restore_chain(p, color);
        }
        for &q in undo.gone.iter().rev() {
            self.restore_chain(Point(q), color.opponent());
        }
        debug_assert_eq!(self.cells[p.0 as usize], Cell::of(color), "moves are taken back in their order");
        self.lift(undo);
        self.ko = undo.ko;
        self.hash = undo.hash;
    }

    /// Places a stone, lowers the liberties around it and joins it with its friends.
    fn put(&mut self, p: Point, color: Color) -> Undo {
        let at = p.0 as usize;
        let old = Links { head: self.head[at], next: self.next[at], liberties: self.liberties[at], stones: self.stones[at] };
        let (friends, gone) = Default::default();
        let mut undo = Undo { point: p, color, ko: self.ko, hash: self.hash, old, friends, gone, taken: Taken::default() };
        let mut free = 0;
        let mut lowered = Heads::default();
        for (i, q) in p.around().into_iter().enumerate() {
            match self.cells[q.0 as usize] {
                Cell::Empty => free += 1,
                Cell::Wall => {}
                stone => {
                    let head = self.head[q.0 as usize];
                    if lowered.insert(i, head) {
                        let liberties = &mut self.liberties[head as usize];
                        if stone == Cell::of(color) {
                            let friend = Friend { head, liberties: *liberties, stones: self.stones[head as usize] };
                            undo.friends.push(friend).expect("four neighbours at the most");
                        }
                        *liberties -= 1;
                    }
                }
            }
        }
        self.cells[at] = Cell::of(color);
        self.hash ^= stone_hash(p, color);
        self.of[color.index()].insert(p);
        self.empty.remove(p);
        (self.head[at], self.next[at], self.stones[at], self.liberties[at]) = (p.0, p.0, 1, free);
        match undo.friends.as_mut_slice() {
            [] => {
                self.heads.insert(p);
            }
            [friend] => self.extend(friend.head, p),
            more => {
                let largest = (0..more.len()).max_by_key(|&i| more[i].stones).expect("several friends");
                more.swap(0, largest);
                self.join(more, p);
            }
        }
        undo
    }

    /// Adds the single stone `p` to one chain: only its own empty neighbours can be new liberties.
    fn extend(&mut self, friend: u16, p: Point) {
        let mut gained = 0;
        for e in p.around() {
            if self.is_empty(e) {
                let known = e.around().into_iter().any(|q| q != p && self.is_of_chain(q, friend));
                gained += u16::from(!known);
            }
        }
        self.liberties[friend as usize] += gained;
        self.splice(friend, p.0);
    }

    /// Whether a stone stands on the cell and belongs to the chain.
    fn is_of_chain(&self, q: Point, head: u16) -> bool {
        self.head[q.0 as usize] == head && (self.cells[q.0 as usize] as u8) < Cell::Empty as u8
    }

    /// Joins several chains through `p` to the first, the largest: the others' liberties that it has not are counted.
    fn join(&mut self, friends: &[Friend], p: Point) {
        let into = friends[0].head;
        let mut gained = PointSet::default();
        for from in friends[1..].iter().map(|friend| friend.head).chain([p.0]) {
            let mut s = from;
            loop {
                for e in Point(s).around() {
                    if self.is_empty(e) && !e.around().into_iter().any(|q| self.is_of_chain(q, into)) {
                        gained.insert(e);
                    }
                }
                s = self.next[s as usize];
                if s == from {
                    break;
                }
            }
        }
        self.liberties[into as usize] += gained.len() as u16;
        self.splice(into, p.0);
        for friend in &friends[1..] {
            self.heads.remove(Point(friend.head));
            self.splice(into, friend.head);
        }
    }

    /// Relabels the chain `from` as part of `into` and joins the two rings; liberties and the set of heads are the caller's.
    fn splice(&mut self, into: u16, from: u16) {
        self.relabel(from, into);
        self.stones[into as usize] += self.stones[from as usize];
        self.next.swap(into as usize, from as usize);
    }

    fn relabel(&mut self, ring: u16, head: u16) {
        let mut s = ring;
        loop {
            self.head[s as usize] = head;
            s = self.next[s as usize];
            if s == ring {
                break;
            }
        }
    }

    /// Takes a chain off and gives its points back to the chains around; returns its stones.
    ///
    /// The links of the chain stay as they are, which is how [`Board::restore_chain`] finds its stones again.
    fn remove_chain(&mut self, p: Point, color: Color) -> u16 {
        let head = self.head[p.0 as usize];
        self.heads.remove(Point(head));
        let mut s = p.0;
        loop {
            self.cells[s as usize] = Cell::Empty;
            self.of[color.index()].remove(Point(s));
            self.empty.insert(Point(s));
            self.hash ^= stone_hash(Point(s), color);
            self.for_heads_around(Point(s), color.opponent(), |liberties| *liberties += 1);
            s = self.next[s as usize];
            if s == p.0 {
                break;
            }
        }
        self.stones[head as usize]
    }

    /// Undoes [`Board::remove_chain`]; the hash is the caller's.
    fn restore_chain(&mut self, p: Point, color: Color) {
        self.heads.insert(Point(self.head[p.0 as usize]));
        let mut s = p.0;
        loop {
            self.cells[s as usize] = Cell::of(color);
            self.of[color.index()].insert(Point(s));
            self.empty.remove(Point(s));
            self.for_heads_around(Point(s), color.opponent(), |liberties| *liberties -= 1);
            s = self.next[s as usize];
            if s == p.0 {
                break;
            }
        }
    }

    /// Undoes [`Board::put`]; hash and ko are the caller's.
    fn lift(&mut self, undo: &Undo) {
        let (p, at) = (undo.point, undo.point.0 as usize);
        if let Some((into, others)) = undo.friends.split_first() {
            for friend in others.iter().rev() {
                self.next.swap(into.head as usize, friend.head as usize);
                self.relabel(friend.head, friend.head);
                self.heads.insert(Point(friend.head));
                self.liberties[friend.head as usize] = friend.liberties;
            }
            self.next.swap(into.head as usize, at);
            self.stones[into.head as usize] = into.stones;
            self.liberties[into.head as usize] = into.liberties;
        } else {
            self.heads.remove(p);
        }
        self.for_heads_around(p, undo.color.opponent(), |liberties| *liberties += 1);
        self.cells[at] = Cell::Empty;
        self.of[undo.color.index()].remove(p);
        self.empty.insert(p);
        let Links { head, next, liberties, stones } = undo.old;
        (self.head[at], self.next[at], self.liberties[at], self.stones[at]) = (head, next, liberties, stones);
    }

    /// Changes the liberties of each chain of `color` next to `p` once.
    fn for_heads_around(&mut self, p: Point, color: Color, change: impl Fn(&mut u16)) {
        let mut changed = Heads::default();
        for (i, q) in p.around().into_iter().enumerate() {
            if self.cells[q.0 as usize] == Cell::of(color) {
                let head = self.head[q.0 as usize];
                if changed.insert(i, head) {
                    change(&mut self.liberties[head as usize]);
                }
            }
        }
    }

    /// Builds chains, liberties and hash from the cells, and forgets the ko.
    pub(super) fn rebuild(&mut self) {
        self.ko = None;
        self.hash = 0;
        (self.of, self.heads) = Default::default();
        for p in self.size.points() {
            if let Some(color) = self.get(p) {
                self.of[color.index()].insert(p);
            }
        }
        self.empty = self.points() - self.of[0] - self.of[1];
        let mut seen = PointSet::default();
        for p in self.size.points() {
            let Some(color) = self.get(p) else { continue };
            self.hash ^= stone_hash(p, color);
            if seen.insert(p) {
                let mut chain = PointList::new();
                chain.push(p).expect("a list holds a board");
                let mut i = 0;
                while i < chain.len() {
                    for q in chain[i].around() {
                        if self.get(q) == Some(color) && seen.insert(q) {
                            chain.push(q).expect("a list holds a board");
                        }
                    }
                    i += 1;
                }
                for (i, s) in chain.iter().enumerate() {
                    self.head[s.0 as usize] = p.0;
                    self.next[s.0 as usize] = chain[(i + 1) % chain.len()].0;
                }
                self.heads.insert(p);
                self.stones[p.0 as usize] = chain.len() as u16;
                self.liberties[p.0 as usize] = self.liberty_points(p).len() as u16;
            }
        }
    }
}
