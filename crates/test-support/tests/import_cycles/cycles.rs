//! Strongly connected components of a graph of files (Tarjan's algorithm).

use std::collections::BTreeMap;

/// The edges of the graph, each with the text that causes it.
pub(crate) type Edges = BTreeMap<(usize, usize), String>;

/// The strongly connected components of more than one node, each sorted.
pub(crate) fn cycles(edges: &Edges) -> Vec<Vec<usize>> {
    let mut search = Search {
        edges,
        order: BTreeMap::new(),
        open: Vec::new(),
        found: Vec::new(),
    };
    for (from, _) in edges.keys() {
        if !search.order.contains_key(from) {
            search.visit(*from);
        }
    }
    search.found
}

struct Search<'a> {
    edges: &'a Edges,
    /// When each node was visited first.
    order: BTreeMap<usize, usize>,
    /// Visited nodes that belong to no component yet.
    open: Vec<usize>,
    found: Vec<Vec<usize>>,
}

impl Search<'_> {
    /// Returns the earliest open node that can be reached from `node`, as its place in the order.
    fn visit(&mut self, node: usize) -> usize {
        let place = self.order.len();
        self.order.insert(node, place);
        self.open.push(node);
        let mut earliest = place;
        let edges = self.edges;
        for ((_, next), _) in edges.range((node, 0)..=(node, usize::MAX)) {
            match self.order.get(next) {
                None => earliest = earliest.min(self.visit(*next)),
                Some(seen) if self.open.contains(next) => earliest = earliest.min(*seen),
                Some(_) => {}
            }
        }
        if earliest == place {
            let start = self
                .open
                .iter()
                .position(|open| *open == node)
                .expect("pushed above");
            let mut component = self.open.split_off(start);
            if component.len() > 1 {
                component.sort_unstable();
                self.found.push(component);
            }
        }
        earliest
    }
}
