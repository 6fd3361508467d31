//! One game tree as a flat arena: nodes in the order of the file, their properties and values as places in it.
//!
//! A node takes 12 bytes, a property 12 and a value 8; all are counted before they are stored, so that a tree stays
//! within about 12 times its text.

use super::charset::Pairs;
use super::scan::{Name, Sink, Walk, walk};
use std::ops::{ControlFlow, Range};

/// Marks that there is no such node.
const NONE: u32 = u32::MAX;

/// Largest arena of one game, in bytes: three million moves. A text of nothing but `;` takes twelve times itself.
pub(crate) const ARENA_BYTES_MAX: usize = 64 << 20;

/// Largest text whose places fit the arena, in bytes.
pub(super) const TEXT_BYTES_MAX: usize = u32::MAX as usize - 1;

/// A game tree. Node 0 is the root; the main line is `0..n` of [`Tree::main_line`].
#[derive(Debug, Default)]
pub struct Tree {
    nodes: Vec<Node>,
    properties: Vec<Property>,
    values: Vec<Span>,
    /// Used while a tree is built: for each open bracket the node before it.
    forks: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    parent: u32,
    next_sibling: u32,
    first_property: u32,
}

#[derive(Clone, Copy, Debug)]
struct Property {
    name: Name,
    at: u32,
    first_value: u32,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    end: u32,
}

impl Tree {
    /// Number of nodes, variations included.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The node before, or `None` for the root.
    pub fn parent(&self, node_idx: usize) -> Option<usize> {
        link(self.nodes[node_idx].parent)
    }

    /// The first node after: the one on the main line, if this is on it.
    pub fn first_child(&self, node_idx: usize) -> Option<usize> {
        // Nodes lie in the order of the file, where a first child follows its parent at once.
        let child = node_idx + 1;
        (child < self.len() && self.parent(child) == Some(node_idx)).then_some(child)
    }

    /// The next variation beside this node.
    pub fn next_sibling(&self, node_idx: usize) -> Option<usize> {
        link(self.nodes[node_idx].next_sibling)
    }

    /// The nodes of the main line: the root, its first child, and so on.
    pub fn main_line(&self) -> Range<usize> {
        let n = (1..self.len()).take_while(|&node| self.parent(node) == Some(node - 1)).count();
        0..self.len().min(n + 1)
    }

    /// Name, offset of the name and number in the arena of the properties of a node.
    pub fn properties(&self, node_idx: usize) -> impl Iterator<Item = (Name, usize, usize)> {
        let next = self.nodes.get(node_idx + 1).map_or(self.properties.len(), |n| n.first_property as usize);
        let range = self.nodes[node_idx].first_property as usize..next;
        range.map(|i| (self.properties[i].name, self.properties[i].at as usize, i))
    }

    /// Name, offset of the name and value of a node with one property of one value, as most nodes have it.
    pub(super) fn sole(&self, node_idx: usize) -> Option<(Name, usize, Range<usize>)> {
        let property_idx = self.nodes.get(node_idx)?.first_property as usize;
        let property = self.properties.get(property_idx)?;
        let next_property = self.nodes.get(node_idx + 1).map_or(self.properties.len(), |n| n.first_property as usize);
        let next_value = self.properties.get(property_idx + 1).map_or(self.values.len(), |p| p.first_value as usize);
        if next_property != property_idx + 1 || next_value != property.first_value as usize + 1 {
            return None;
        }
        let value = self.values.get(property.first_value as usize)?;
        Some((property.name, property.at as usize, value.start as usize..value.end as usize))
    }

    /// The places of the values of a property.
    pub fn values(&self, property_idx: usize) -> impl Iterator<Item = Range<usize>> {
        let next = self.properties.get(property_idx + 1).map_or(self.values.len(), |p| p.first_value as usize);
        let range = self.properties[property_idx].first_value as usize..next;
        self.values[range].iter().map(|v| v.start as usize..v.end as usize)
    }

    /// All values of all properties of that name in a node: a name given twice adds to its list.
    pub fn all(&self, node_idx: usize, name: &[u8]) -> impl Iterator<Item = Range<usize>> {
        let name = padded(name);
        self.properties(node_idx).filter(move |p| p.0 == name).flat_map(|p| self.values(p.2))
    }

    /// The first value of that name in a node.
    pub fn first(&self, node_idx: usize, name: &[u8]) -> Option<Range<usize>> {
        self.all(node_idx, name).next()
    }

    /// Reads the game whose `(` is at `start`, over what was here before. `size` is what [`measure`] found.
    pub(super) fn read(&mut self, bytes: &[u8], start: usize, pairs: Pairs, size: &Measure) {
        self.clear();
        self.nodes.reserve_exact(size.n_nodes);
        self.properties.reserve_exact(size.n_properties);
        self.values.reserve_exact(size.n_values);
        self.forks.reserve_exact(size.depth_max);
        self.build(bytes, start, pairs);
    }

    /// The same for a game of unknown size, which most often has room in what an earlier one left or in a little more: so it is
    /// walked only once. `None` where it has not.
    pub(super) fn read_unmeasured(&mut self, bytes: &[u8], start: usize, pairs: Pairs) -> Option<Walk> {
        self.clear();
        // A node may take one byte, but a usual one takes six and more.
        let room = (bytes.len().saturating_sub(start) / 4 + UNMEASURED_MIN).min(UNMEASURED_MAX);
        self.nodes.reserve_exact(room);
        self.properties.reserve_exact(room);
        self.values.reserve_exact(room);
        self.forks.reserve_exact(UNMEASURED_MIN);
        let (walk, is_full) = self.build(bytes, start, pairs);
        (!is_full).then_some(walk)
    }

    /// Walks, and tells whether the tree was too large for the room there is.
    fn build(&mut self, bytes: &[u8], start: usize, pairs: Pairs) -> (Walk, bool) {
        let mut builder = Builder { tree: self, last: NONE, child_before: NONE, is_full: false };
        let walk = walk(bytes, start, pairs, &mut builder);
        (walk, builder.is_full)
    }

    fn clear(&mut self) {
        self.nodes.clear();
        self.properties.clear();
        self.values.clear();
        self.forks.clear();
    }

    /// Number of B and W properties, variations included.
    pub(super) fn n_moves(&self) -> usize {
        self.properties.iter().filter(|property| is_move(property.name)).count()
    }
}

/// Room for nodes, properties and values, in pieces of each, that is made without counting first: 16 KiB, and 512 KiB in sum.
const UNMEASURED_MIN: usize = 256;
const UNMEASURED_MAX: usize = 16_384;

fn is_move(name: Name) -> bool {
    matches!(&name, b"B\0\0\0" | b"W\0\0\0")
}

/// Capitals of a property name as the arena keeps them.
pub(super) fn padded(name: &[u8]) -> Name {
    let mut padded = [0; 4];
    padded[..name.len()].copy_from_slice(name);
    padded
}

fn link(node: u32) -> Option<usize> {
    (node != NONE).then_some(node as usize)
}

/// What a first walk over a game counts.
#[derive(Default)]
pub(super) struct Measure {
    n_nodes: usize,
    pub(super) n_properties: usize,
    n_values: usize,
    depth: usize,
    depth_max: usize,
    /// Number of B and W properties, variations included.
    pub(super) n_moves: usize,
    /// The root's CA.
    pub(super) charset: Option<Range<usize>>,
    name: Name,
    stop_at_charset: bool,
}

impl Measure {
    /// Memory in bytes of the arena of so large a game.
    pub(super) fn arena_bytes(&self) -> usize {
        self.n_nodes * size_of::<Node>()
            + self.n_properties * size_of::<Property>()
            + self.n_values * size_of::<Span>()
            + self.depth_max * size_of::<u32>()
    }
}

/// Counts a game. With `StopAt::Charset` the walk breaks off at the root's CA.
pub(super) fn measure(bytes: &[u8], start: usize, pairs: Pairs, stop: StopAt) -> (Walk, Measure) {
    let mut measure = Measure { stop_at_charset: stop == StopAt::Charset, ..Measure::default() };
    let walk = walk(bytes, start, pairs, &mut measure);
    (walk, measure)
}

/// Where a first walk ends.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum StopAt {
    Charset,
    End,
}

impl Sink for Measure {
    fn open(&mut self) {
        self.depth += 1;
        self.depth_max = self.depth_max.max(self.depth);
    }

    fn close(&mut self) {
        self.depth -= 1;
    }

    fn node(&mut self) {
        self.n_nodes += 1;
    }

    fn name(&mut self, name: Name, _at: usize) {
        self.n_properties += 1;
        self.n_moves += usize::from(is_move(name));
        self.name = name;
    }

    fn value(&mut self, value: Range<usize>) -> ControlFlow<()> {
        self.n_values += 1;
        if self.n_nodes == 1 && &self.name == b"CA\0\0" && self.charset.is_none() {
            self.charset = Some(value);
            if self.stop_at_charset {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}

struct Builder<'a> {
    tree: &'a mut Tree,
    /// The node that the next one follows.
    last: u32,
    /// The child of `last` that was closed last, if any.
    child_before: u32,
    /// Whether something had no room: then the tree is of no use.
    is_full: bool,
}

impl Builder<'_> {
    fn go_on(&self) -> ControlFlow<()> {
        if self.is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Appends where there is room, else notes that there was none.
fn push<T>(list: &mut Vec<T>, item: T, is_full: &mut bool) {
    if list.len() < list.capacity() {
        list.push(item);
    } else {
        *is_full = true;
    }
}

impl Sink for Builder<'_> {
    fn open(&mut self) {
        push(&mut self.tree.forks, self.last, &mut self.is_full);
    }

    fn close(&mut self) {
        if self.is_full {
            return;
        }
        let Some(fork) = self.tree.forks.pop() else {
            return;
        };
        // Up from the end of this variation to its first node, the child of the fork. Chains are walked once each:
        // a variation's own variations end at its last node.
        let mut node = self.last;
        while node != NONE && self.tree.nodes[node as usize].parent != fork {
            node = self.tree.nodes[node as usize].parent;
        }
        self.child_before = node;
        self.last = fork;
    }

    fn node(&mut self) {
        let node = self.tree.nodes.len() as u32;
        if self.child_before != NONE && self.tree.nodes[self.child_before as usize].parent == self.last {
            self.tree.nodes[self.child_before as usize].next_sibling = node;
        }
        self.child_before = NONE;
        let first_property = self.tree.properties.len() as u32;
        push(&mut self.tree.nodes, Node { parent: self.last, next_sibling: NONE, first_property }, &mut self.is_full);
        self.last = node;
    }

    fn name(&mut self, name: Name, at: usize) {
        let first_value = self.tree.values.len() as u32;
        push(&mut self.tree.properties, Property { name, at: at as u32, first_value }, &mut self.is_full);
    }

    fn value(&mut self, value: Range<usize>) -> ControlFlow<()> {
        push(&mut self.tree.values, Span { start: value.start as u32, end: value.end as u32 }, &mut self.is_full);
        self.go_on()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tree(text: &str) -> Tree {
        let mut tree = Tree::default();
        let (walk, size) = measure(text.as_bytes(), 0, Pairs::Plain, StopAt::End);
        assert!(walk.fault.is_none(), "{text}");
        tree.read(text.as_bytes(), 0, Pairs::Plain, &size);
        tree
    }

    #[test]
    fn links() {
        // node_idx:     0   1   2    3      4    5     6     7
        let tree = tree("(;A[];B[](;C[];D[](;E[])(;F[]))(;G[])(;H[]))");
        let links: Vec<_> = (0..tree.len()).map(|n| (tree.parent(n), tree.first_child(n), tree.next_sibling(n))).collect();
        let expected = [
            (None, Some(1), None),
            (Some(0), Some(2), None),
            (Some(1), Some(3), Some(6)),
            (Some(2), Some(4), None),
            (Some(3), None, Some(5)),
            (Some(3), None, None),
            (Some(1), None, Some(7)),
            (Some(1), None, None),
        ];
        assert_eq!(links, expected);
        assert_eq!(tree.main_line(), 0..5);
    }

    #[test]
    fn lists_add_up() {
        let text = "(;AB[aa][bb]C[x]AddBlack[cc])";
        let tree = tree(text);
        let all: Vec<&str> = tree.all(0, b"AB").map(|v| &text[v]).collect();
        assert_eq!(all, ["aa", "bb", "cc"]);
        assert_eq!(tree.first(0, b"W"), None);
    }

    /// A tree as nested vectors: nodes of properties, and variations after them.
    #[derive(Clone, Debug)]
    struct Nested {
        nodes: Vec<Vec<(String, Vec<String>)>>,
        variations: Vec<Nested>,
    }

    fn nested() -> impl Strategy<Value = Nested> {
        // No name that only a root has: it would begin another game.
        let property = ("[BDEH-RT-Z][A-Z]{0,3}", proptest::collection::vec("[a-z;()\\[ \n\u{e9}]{0,5}-", 1..3));
        let node = proptest::collection::vec(property, 0..3);
        let nodes = proptest::collection::vec(node, 1..4);
        let leaf = nodes.clone().prop_map(|nodes| Nested { nodes, variations: vec![] });
        leaf.prop_recursive(6, 40, 3, move |inner| {
            (nodes.clone(), proptest::collection::vec(inner, 0..3)).prop_map(|(nodes, variations)| Nested { nodes, variations })
        })
    }

    fn serialize(nested: &Nested, out: &mut String) {
        out.push('(');
        for node in &nested.nodes {
            out.push_str("\n;");
            for (name, values) in node {
                out.push_str(name);
                values.iter().for_each(|value| out.extend(["[", value, "] "]));
            }
        }
        nested.variations.iter().for_each(|v| serialize(v, out));
        out.push(')');
    }

    /// The subtree whose first node is `first`, back as nested vectors.
    fn read_back(tree: &Tree, text: &str, first: usize) -> String {
        let mut out = String::from("(");
        let mut node = first;
        loop {
            out.push_str("\n;");
            for (name, _, property) in tree.properties(node) {
                out.push_str(&super::super::name_text(name));
                tree.values(property).for_each(|v| out.extend(["[", &text[v], "] "]));
            }
            match tree.first_child(node) {
                Some(child) if tree.next_sibling(child).is_none() => node = child,
                children => {
                    let mut next = children;
                    while let Some(child) = next {
                        out.push_str(&read_back(tree, text, child));
                        next = tree.next_sibling(child);
                    }
                    break;
                }
            }
        }
        out.push(')');
        out
    }

    /// A lone variation is the same tree as the nodes going on.
    fn joined(mut nested: Nested) -> Nested {
        while nested.variations.len() == 1 {
            let only = nested.variations.remove(0);
            nested.nodes.extend(only.nodes);
            nested.variations = only.variations;
        }
        nested.variations = nested.variations.into_iter().map(joined).collect();
        nested
    }

    proptest! {
        #[test]
        fn written_trees_are_read_back(nested in nested()) {
            let mut text = String::new();
            serialize(&nested, &mut text);
            let mut expected = String::new();
            serialize(&joined(nested), &mut expected);
            prop_assert_eq!(read_back(&tree(&text), &text, 0), expected);
        }
    }
}
