//! A map from rising numbers to values, whose memory goes back to the system as soon as the values have gone.
//!
//! Values lie side by side in pages. Small maps have small pages; the pages of large ones are reserved as blocks so large
//! that the allocator maps them one by one, and unmaps them when they are freed. A tree's many small nodes would stay
//! behind as holes in the heap instead, pinned by whatever small thing was allocated after them.

use std::collections::{BTreeMap, VecDeque};

/// Larger than any block that glibc keeps in its heap (`DEFAULT_MMAP_THRESHOLD_MAX`, 32 MiB on 64-bit machines; mallopt(3),
/// `M_MMAP_THRESHOLD`, read 2026-11). Only what is written to takes memory, the rest is address space.
pub(super) const RESERVED_BYTES: usize = 33 * 1024 * 1024;
/// Values in the first page, in the second, and in each further one.
const SMALL: usize = 64;
const MEDIUM: usize = 1_024;
const LARGE: usize = 32_768;
/// A full page with fewer of its values left than one in so many is given up, and these are kept by themselves.
const SPARSE: usize = 32;

#[derive(Debug)]
pub(super) struct Pages<T> {
    list: VecDeque<Page<T>>,
    /// Values that have outlived nearly all of their page.
    stragglers: BTreeMap<i64, T>,
    length: usize,
    untidy: bool,
}

#[derive(Debug)]
struct Page<T> {
    first: i64,
    limit: usize,
    slots: Vec<Option<T>>,
    live: usize,
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self { list: VecDeque::new(), stragglers: BTreeMap::new(), length: 0, untidy: false }
    }
}

impl<T> Page<T> {
    fn new(first: i64, limit: usize) -> Self {
        let slot = size_of::<Option<T>>().max(1);
        let reserved = if limit == LARGE { limit.max(RESERVED_BYTES / slot) } else { limit };
        Self { first, limit, slots: Vec::with_capacity(reserved), live: 0 }
    }

    /// Where in the page a number has its place, if it has one there.
    fn index(&self, number: i64) -> Option<usize> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        (index < self.limit).then_some(index)
    }
}

impl<T> Pages<T> {
    /// Puts a value where there is none. Numbers may come back; new ones must be higher than all before.
    pub(super) fn insert(&mut self, number: i64, value: T) {
        self.length += 1;
        let beyond_last = self.list.back().is_none_or(|page| number >= page.first && page.index(number).is_none());
        if beyond_last {
            let limit = match self.list.len() {
                0 => SMALL,
                1 => MEDIUM,
                _ => LARGE,
            };
            self.list.push_back(Page::new(number, limit));
        }
        let Some((page, index)) = self.locate(number) else {
            self.stragglers.insert(number, value);
            return;
        };
        while page.slots.len() <= index {
            page.slots.push(None);
        }
        page.slots[index] = Some(value);
        page.live += 1;
    }

    pub(super) fn remove(&mut self, number: i64) -> Option<T> {
        let value = match self.locate(number) {
            Some((page, index)) => {
                let value = page.slots.get_mut(index)?.take()?;
                page.live -= 1;
                let sparse = page.live < page.limit / SPARSE || page.live == 0;
                self.untidy |= sparse;
                Some(value)
            }
            None => self.stragglers.remove(&number),
        };
        self.length -= usize::from(value.is_some());
        value
    }

    pub(super) fn get(&self, number: i64) -> Option<&T> {
        match self.list.iter().find_map(|page| Some((page, page.index(number)?))) {
            Some((page, index)) => page.slots.get(index)?.as_ref(),
            None => self.stragglers.get(&number),
        }
    }

    pub(super) fn get_mut(&mut self, number: i64) -> Option<&mut T> {
        // Asked twice, because the borrow of a page that has the number but no value would last too long.
        if self.locate(number).is_none() {
            return self.stragglers.get_mut(&number);
        }
        let (page, index) = self.locate(number)?;
        page.slots.get_mut(index)?.as_mut()
    }

    /// Values in order of their numbers, beginning at one.
    pub(super) fn from(&self, number: i64) -> impl Iterator<Item = (i64, &T)> {
        let in_pages = self.list.iter().flat_map(move |page| {
            let skipped = usize::try_from(number.saturating_sub(page.first)).unwrap_or(0);
            let slots = page.slots.iter().zip(page.first..).skip(skipped);
            slots.filter_map(|(value, number)| Some((number, value.as_ref()?)))
        });
        let mut in_pages = in_pages.peekable();
        let mut stragglers = self.stragglers.range(number..).map(|(number, value)| (*number, value)).peekable();
        std::iter::from_fn(move || match (in_pages.peek(), stragglers.peek()) {
            (Some((next, _)), Some((straggler, _))) if straggler < next => stragglers.next(),
            (Some(_), _) => in_pages.next(),
            (None, _) => stragglers.next(),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Gives memory back; `moved` is called for each value that changes its place to make that possible.
    ///
    /// Not done by `remove` itself, because most values that are removed come back at once with something changed.
    pub(super) fn tidy(&mut self, mut moved: impl FnMut(&mut T)) {
        if !std::mem::take(&mut self.untidy) {
            return;
        }
        if self.length == 0 {
            // A queue that is emptied again and again keeps its first small page.
            self.list.truncate(1);
            if let Some(page) = self.list.front_mut().filter(|page| page.limit == SMALL) {
                page.first += i64::try_from(page.slots.len()).unwrap_or(0);
                page.slots.clear();
            } else {
                self.list.clear();
            }
            return;
        }
        let last = self.list.back().map(|page| page.first);
        let stragglers = &mut self.stragglers;
        self.list.retain_mut(|page| {
            if Some(page.first) == last || (page.live > 0 && page.live >= page.limit / SPARSE) {
                return true;
            }
            for (slot, number) in page.slots.iter_mut().zip(page.first..) {
                if let Some(mut value) = slot.take() {
                    moved(&mut value);
                    stragglers.insert(number, value);
                }
            }
            false
        });
    }

    fn locate(&mut self, number: i64) -> Option<(&mut Page<T>, usize)> {
        self.list.iter_mut().find_map(|page| {
            let index = page.index(number)?;
            Some((page, index))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_behaves_as_a_tree_map() {
        for seed in 0..20 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut pages, mut model) = (Pages::default(), BTreeMap::new());
            let mut next = 0;
            for step in 0..20_000 {
                match random.u8(..10) {
                    0..=5 => {
                        // Some numbers are never used.
                        next += random.i64(1..3);
                        pages.insert(next, next);
                        model.insert(next, next);
                    }
                    6..=8 => {
                        let number = if random.bool() { model.keys().next().copied() } else { None };
                        let number = number.unwrap_or_else(|| random.i64(0..=next));
                        let value = pages.remove(number);
                        assert_eq!(value, model.remove(&number));
                        // Many come back at once.
                        if let Some(value) = value.filter(|_| random.bool()) {
                            pages.insert(number, value);
                            model.insert(number, value);
                        }
                        pages.tidy(|_| {});
                    }
                    _ => {
                        let from = random.i64(0..=next);
                        let found: Vec<_> = pages.from(from).take(5).map(|(number, value)| (number, *value)).collect();
                        let expected: Vec<_> =
                            model.range(from..).take(5).map(|(number, value)| (*number, *value)).collect();
                        assert_eq!(found, expected, "seed {seed}, step {step}");
                        assert_eq!(pages.get(from), model.get(&from));
                        assert_eq!(pages.get_mut(from), model.get_mut(&from));
                    }
                }
                assert_eq!((pages.len(), pages.is_empty()), (model.len(), model.is_empty()));
            }
        }
    }

    #[test]
    fn one_value_left_does_not_keep_its_page() {
        let mut pages = Pages::default();
        (0..200_000).for_each(|number| pages.insert(number, number));
        for number in (0..200_000).filter(|number| number % 50_000 != 0) {
            assert_eq!(pages.remove(number), Some(number));
        }
        let mut moved = 0;
        pages.tidy(|_| moved += 1);
        assert_eq!((pages.list.len(), moved), (1, 4), "only the last page stays");
        let left: Vec<i64> = pages.from(0).map(|(number, _)| number).collect();
        assert_eq!(left, [0, 50_000, 100_000, 150_000]);
        for number in left {
            pages.remove(number);
        }
        pages.tidy(|_| {});
        assert!(pages.is_empty());
    }
}
