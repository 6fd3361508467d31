//! Playing a stone and taking it back: chains join, split, go and come while liberties stay counted.

use super::{Board, Cell, Taken, stone_hash};
use crate::go::point::{CELLS, Color, Point};
use crate::go::pointset::{PointList, PointSet};

/// What [`Board::take_back`] needs to restore the board before a move, bit for bit.
#[derive(Clone, Debug)]
pub struct Undo {
    point: Point,
    color: Color,
    ko: Option<Point>,
    hash: u64,
    /// What the entries of the point held: an earlier move that took stones off there needs them.
    old: Links,
    /// The chains that the stone joined, as they were; the first is the one that the others became part of.
    friends: heapless::Vec<Friend, 4, u8>,
    /// The heads of the opponent's chains taken off, in their order.
    gone: heapless::Vec<u16, 4, u8>,
    /// The head of the own chain taken off; 0, which is a wall cell, for none.
    suicide: u16,
    taken: Taken,
}

/// The entries of one cell.
#[derive(Clone, Copy, Debug)]
struct Links {
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
        for i in 0..undo.gone.len() {
            undo.taken.stones[opponent.index()] += self.remove_chain(undo.gone[i], opponent);
        }
        let name = self.head[p.0 as usize];
        let liberties = self.liberties[name as usize];
        if liberties == 0 {
            undo.taken.stones[color.index()] += self.remove_chain(name, color);
            undo.suicide = name;
        } else if undo.taken.stones[opponent.index()] == 1 && liberties == 1 && self.stones[name as usize] == 1 {
            self.ko = undo.gone.first().map(|&stone| Point(stone));
        }
        undo
    }

    /// The points of the stones, Black's and White's, that the latest move took off; `undo` is what playing it gave.
    pub(crate) fn points_taken(&self, undo: &Undo) -> [PointSet; 2] {
        let mut points = [PointSet::default(); 2];
        let own = (undo.suicide > 0).then_some((undo.suicide, undo.color));
        for (first, color) in undo.gone.iter().map(|&head| (head, undo.color.opponent())).chain(own) {
            // The ring of a chain that went stays.
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
        if undo.suicide > 0 {
            self.restore_chain(undo.suicide, color);
        }
        for &head in undo.gone.iter().rev() {
            self.restore_chain(head, color.opponent());
        }
        debug_assert_eq!(self.cells[p.0 as usize], Cell::of(color), "moves are taken back in their order");
        self.lift(undo);
        self.ko = undo.ko;
        self.hash = undo.hash;
    }

    /// Places a stone, lowers the liberties around it, joins it with its friends, and notes whom it leaves without liberty.
    fn put(&mut self, p: Point, color: Color) -> Undo {
        let at = p.0 as usize;
        let old = Links { next: self.next[at], liberties: self.liberties[at], stones: self.stones[at] };
        let (friends, gone) = Default::default();
        let (ko, hash, taken) = (self.ko, self.hash, Taken::default());
        let mut undo = Undo { point: p, color, ko, hash, old, friends, gone, suicide: 0, taken };
        let mut free = 0;
        let mut lowered = Heads::default();
        for (i, q) in p.around().into_iter().enumerate() {
            let head = self.head[q.0 as usize];
            if head == 0 {
                free += u16::from(self.cells[q.0 as usize] == Cell::Empty);
            } else if lowered.insert(i, head) {
                let liberties = self.liberties[head as usize];
                if self.cells[q.0 as usize] == Cell::of(color) {
                    let friend = Friend { head, liberties, stones: self.stones[head as usize] };
                    undo.friends.push(friend).expect("four neighbours at the most");
                } else if liberties == 1 {
                    undo.gone.push(head).expect("four neighbours at the most");
                }
                self.set_liberties(head, liberties - 1);
            }
        }
        self.cells[at] = Cell::of(color);
        self.hash ^= stone_hash(p, color);
        self.of[color.index()].insert(p);
        self.empty.remove(p);
        match undo.friends.as_mut_slice() {
            [] => {
                (self.head[at], self.next[at], self.stones[at]) = (p.0, p.0, 1);
                self.heads.insert(p);
                self.set_liberties(p.0, free);
            }
            [friend] => self.extend(*friend, p),
            more => {
                let largest = (0..more.len()).max_by_key(|&i| more[i].stones).expect("several friends");
                more.swap(0, largest);
                self.join(more, p);
            }
        }
        undo
    }

    /// Adds the single stone `p` to one chain: only its own empty neighbours can be new liberties.
    fn extend(&mut self, friend: Friend, p: Point) {
        let mut liberties = friend.liberties - 1;
        for e in p.around() {
            if self.is_empty(e) {
                let known = e.around().into_iter().any(|q| self.head[q.0 as usize] == friend.head);
                liberties += u16::from(!known);
            }
        }
        self.set_liberties(friend.head, liberties);
        self.insert_stone(friend.head, p);
    }

    /// Puts a stone without chain into the ring of one.
    fn insert_stone(&mut self, into: u16, p: Point) {
        let at = p.0 as usize;
        self.head[at] = into;
        self.next[at] = self.next[into as usize];
        self.next[into as usize] = p.0;
        self.stones[into as usize] += 1;
    }

    /// Joins several chains through `p` to the first, the largest: the others' liberties that it has not are counted.
    fn join(&mut self, friends: &[Friend], p: Point) {
        let into = friends[0].head;
        let mut gained = PointSet::default();
        let mut note = |board: &Board, s: Point| {
            for e in s.around() {
                if board.is_empty(e) && !e.around().into_iter().any(|q| board.head[q.0 as usize] == into) {
                    gained.insert(e);
                }
            }
        };
        note(self, p);
        for friend in &friends[1..] {
            self.chain(Point(friend.head)).for_each(|s| note(self, s));
        }
        self.set_liberties(into, friends[0].liberties - 1 + gained.len() as u16);
        self.insert_stone(into, p);
        for friend in &friends[1..] {
            self.heads.remove(Point(friend.head));
            self.atari.remove(Point(friend.head));
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
    /// The ring of the chain stays as it is, which is how [`Board::restore_chain`] finds its stones again.
    fn remove_chain(&mut self, head: u16, color: Color) -> u16 {
        self.heads.remove(Point(head));
        let mut s = head;
        loop {
            self.cells[s as usize] = Cell::Empty;
            self.head[s as usize] = 0;
            self.of[color.index()].remove(Point(s));
            self.empty.insert(Point(s));
            self.hash ^= stone_hash(Point(s), color);
            self.raise_around(Point(s), color.opponent());
            s = self.next[s as usize];
            if s == head {
                break;
            }
        }
        self.stones[head as usize]
    }

    /// Undoes [`Board::remove_chain`]; the hash is the caller's.
    fn restore_chain(&mut self, head: u16, color: Color) {
        self.heads.insert(Point(head));
        let mut s = head;
        loop {
            self.cells[s as usize] = Cell::of(color);
            self.head[s as usize] = head;
            self.of[color.index()].insert(Point(s));
            self.empty.remove(Point(s));
            self.lower_around(Point(s), color.opponent());
            s = self.next[s as usize];
            if s == head {
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
                self.set_liberties(friend.head, friend.liberties);
            }
            self.next[into.head as usize] = self.next[at];
            self.stones[into.head as usize] = into.stones;
            self.set_liberties(into.head, into.liberties);
        } else {
            self.heads.remove(p);
            self.atari.remove(p);
        }
        self.raise_around(p, undo.color.opponent());
        self.cells[at] = Cell::Empty;
        self.of[undo.color.index()].remove(p);
        self.empty.insert(p);
        let Links { next, liberties, stones } = undo.old;
        (self.head[at], self.next[at], self.liberties[at], self.stones[at]) = (0, next, liberties, stones);
    }

    /// Gives each chain of `color` next to `p` one liberty more.
    fn raise_around(&mut self, p: Point, color: Color) {
        let mut raised = Heads::default();
        for (i, q) in p.around().into_iter().enumerate() {
            let head = self.head[q.0 as usize];
            if self.cells[q.0 as usize] == Cell::of(color) && raised.insert(i, head) {
                self.set_liberties(head, self.liberties[head as usize] + 1);
            }
        }
    }

    /// Takes a liberty from each chain of `color` next to `p`.
    fn lower_around(&mut self, p: Point, color: Color) {
        let mut lowered = Heads::default();
        for (i, q) in p.around().into_iter().enumerate() {
            let head = self.head[q.0 as usize];
            if self.cells[q.0 as usize] == Cell::of(color) && lowered.insert(i, head) {
                self.set_liberties(head, self.liberties[head as usize] - 1);
            }
        }
    }

    fn set_liberties(&mut self, head: u16, liberties: u16) {
        self.liberties[head as usize] = liberties;
        self.atari.set(Point(head), liberties == 1);
    }

    /// Builds chains, liberties and hash from the cells, and forgets the ko.
    pub(super) fn rebuild(&mut self) {
        self.ko = None;
        self.hash = 0;
        (self.of, self.heads, self.atari) = Default::default();
        self.head = [0; CELLS];
        for p in self.size.points() {
            if let Some(color) = self.get(p) {
                self.of[color.index()].insert(p);
            }
        }
        self.empty = PointSet::board(self.size) - self.of[0] - self.of[1];
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
                self.set_liberties(p.0, self.liberty_points(p).len() as u16);
            }
        }
    }
}
