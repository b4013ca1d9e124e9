//! Divides a graph into regions that integer kernels run and nodes that tract runs.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::pattern::{Fusion, Kind, TensorRef};
use comet_onnx::GraphView;

/// Groups that run one after another without tract in between.
#[derive(Default)]
pub(crate) struct Region<'a> {
    /// Indices of groups, in an order in which they can run.
    pub(crate) groups: Vec<usize>,
    /// Real values that others make.
    pub(crate) inputs: Vec<&'a str>,
    /// Real values that others read.
    pub(crate) outputs: Vec<&'a str>,
    /// Bytes that an earlier region makes. They are passed as real numbers, which gives the same bytes again.
    pub(crate) imports: Vec<&'a str>,
    /// Bytes that a later region reads.
    pub(crate) exports: Vec<&'a str>,
}

/// The division of a graph.
pub(crate) struct Segments<'a> {
    pub(crate) regions: Vec<Region<'a>>,
    /// Indices of the nodes that stay with tract.
    pub(crate) rest: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    Group(usize),
    Node(usize),
}

impl Item {
    fn is_group(self) -> bool {
        matches!(self, Self::Group(_))
    }
}

/// Divides `graph`; `None` if its nodes form a cycle.
pub(crate) fn segment<'a>(graph: &GraphView<'a>, fusion: &Fusion<'a>) -> Option<Segments<'a>> {
    let order = Order::new(graph, fusion);
    let sequence = order.sequence()?;
    let mut runs: Vec<Vec<usize>> = Vec::new();
    let mut rest = Vec::new();
    let mut open = false;
    for item in sequence {
        match item {
            Item::Group(index) if open => runs.last_mut()?.push(index),
            Item::Group(index) => {
                runs.push(vec![index]);
                open = true;
            }
            Item::Node(index) => {
                rest.push(index);
                open = false;
            }
        }
    }
    rest.sort_unstable();
    Some(Segments { regions: interfaces(graph, fusion, runs, &rest), rest })
}

/// What each item reads and makes.
struct Order<'a> {
    items: Vec<Item>,
    reads: Vec<Vec<TensorRef<'a>>>,
    makes: HashMap<TensorRef<'a>, usize>,
}

impl<'a> Order<'a> {
    fn new(graph: &GraphView<'a>, fusion: &Fusion<'a>) -> Self {
        let mut order = Self { items: Vec::new(), reads: Vec::new(), makes: HashMap::new() };
        let mut taken: HashSet<usize> = fusion.absorbed.clone();
        for (index, group) in fusion.groups.iter().enumerate() {
            taken.extend(&group.nodes);
            order.makes.insert(group.output, order.items.len());
            order.items.push(Item::Group(index));
            order.reads.push(group.inputs.clone());
        }
        for (index, node) in graph.nodes.iter().enumerate() {
            if taken.contains(&index) || node.op_type == "Constant" {
                continue;
            }
            for name in &node.output {
                order.makes.insert(TensorRef::Float(name), order.items.len());
            }
            order.items.push(Item::Node(index));
            order.reads.push(node.input.iter().map(|name| TensorRef::Float(name)).collect());
        }
        order
    }

    /// The items in an order in which they can run, changing as seldom as possible between groups and nodes.
    fn sequence(&self) -> Option<Vec<Item>> {
        let mut waiting = vec![0usize; self.items.len()];
        let mut readers: Vec<Vec<usize>> = vec![Vec::new(); self.items.len()];
        for (index, reads) in self.reads.iter().enumerate() {
            let makers: BTreeSet<usize> =
                reads.iter().filter_map(|value| self.makes.get(value).copied()).collect();
            waiting[index] = makers.len();
            for maker in makers {
                readers[maker].push(index);
            }
        }
        let ready = (0..self.items.len()).filter(|index| waiting[*index] == 0);
        let (mut groups, mut nodes): (BTreeSet<usize>, BTreeSet<usize>) =
            ready.partition(|index| self.items[*index].is_group());
        let mut sequence = Vec::with_capacity(self.items.len());
        let mut in_groups = true;
        loop {
            let next = if in_groups { groups.pop_first() } else { nodes.pop_first() };
            let Some(next) = next else {
                if groups.is_empty() && nodes.is_empty() {
                    break;
                }
                in_groups = !in_groups;
                continue;
            };
            sequence.push(self.items[next]);
            for reader in &readers[next] {
                waiting[*reader] -= 1;
                if waiting[*reader] == 0 {
                    let side = if self.items[*reader].is_group() { &mut groups } else { &mut nodes };
                    side.insert(*reader);
                }
            }
        }
        (sequence.len() == self.items.len()).then_some(sequence)
    }
}

fn interfaces<'a>(
    graph: &GraphView<'a>,
    fusion: &Fusion<'a>,
    runs: Vec<Vec<usize>>,
    rest: &[usize],
) -> Vec<Region<'a>> {
    // Who reads a value: the number of a region, or `None` for tract and the graph's outputs.
    let mut readers: HashMap<TensorRef<'_>, HashSet<Option<usize>>> = HashMap::new();
    for (number, run) in runs.iter().enumerate() {
        for input in run.iter().flat_map(|index| &fusion.groups[*index].inputs) {
            readers.entry(*input).or_default().insert(Some(number));
        }
    }
    for name in rest.iter().flat_map(|index| &graph.nodes[*index].input) {
        readers.entry(TensorRef::Float(name)).or_default().insert(None);
    }
    let region = |(number, groups): (usize, Vec<usize>)| {
        let mut region = Region::default();
        let made: HashSet<TensorRef<'_>> = groups.iter().map(|index| fusion.groups[*index].output).collect();
        let mut seen = HashSet::new();
        for index in &groups {
            let group = &fusion.groups[*index];
            for input in group.inputs.iter().filter(|input| !made.contains(input)) {
                if seen.insert(*input) {
                    match input {
                        TensorRef::Float(name) => region.inputs.push(name),
                        TensorRef::Quantized(name) => region.imports.push(name),
                    }
                }
            }
            let elsewhere =
                readers.get(&group.output).is_some_and(|all| all.iter().any(|r| *r != Some(number)));
            match group.output {
                TensorRef::Float(name) if elsewhere || graph.is_output(name) => region.outputs.push(name),
                TensorRef::Quantized(name) if elsewhere => region.exports.push(name),
                _ => (),
            }
        }
        region.groups = groups;
        region
    };
    runs.into_iter().enumerate().map(region).collect()
}

/// Whether the groups hold any real work: a region of nothing but edges would only move data back and forth.
pub(crate) fn is_worth_it(fusion: &Fusion<'_>) -> bool {
    fusion.groups.iter().any(|group| matches!(group.kind, Kind::Convolve(_)))
}
