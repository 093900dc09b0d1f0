//! Items in one buffer, one behind the other, each with its length in front.

/// Bytes in front of each item: its length.
pub(crate) const HEADER_BYTES: usize = 4;

/// The items of a batch, as bytes.
#[derive(Debug, Clone)]
pub(crate) struct Items<'b> {
    rest: &'b [u8],
}

impl<'b> Items<'b> {
    /// Iterates over a batch: it ends where an item has no header or fewer bytes than that says.
    #[inline]
    pub(crate) fn of(batch: &'b [u8]) -> Self {
        Items { rest: batch }
    }

    /// Skips up to `most` items while they fit. Returns their number. `fits` may be called twice for an item that does not.
    #[inline]
    pub(crate) fn advance(&mut self, most: u32, mut fits: impl FnMut(&[u8]) -> bool) -> u32 {
        let mut count = 0;
        while count < most
            && let Some(len) = item_len(self.rest)
        {
            // The processor need not wait for the header of an item to find the next one as long as all are of one length.
            let (bytes, before) = (HEADER_BYTES + len, count);
            while count < most
                && let Some((item, rest)) = self.rest.split_at_checked(bytes)
                && item_len(item) == Some(len)
                && fits(&item[HEADER_BYTES..])
            {
                self.rest = rest;
                count += 1;
            }
            if count == before {
                break;
            }
        }
        count
    }

    /// Returns what comes before `later`, which has fewer items of the same batch left, with the headers.
    pub(crate) fn before(&self, later: &Self) -> &'b [u8] {
        &self.rest[..self.rest.len() - later.rest.len()]
    }
}

impl<'b> Iterator for Items<'b> {
    type Item = &'b [u8];

    #[inline]
    fn next(&mut self) -> Option<&'b [u8]> {
        let (item, rest) = self.rest.get(HEADER_BYTES..)?.split_at_checked(item_len(self.rest)?)?;
        self.rest = rest;
        Some(item)
    }
}

/// Returns the length of the first item, from its header.
#[inline]
pub(crate) fn item_len(batch: &[u8]) -> Option<usize> {
    batch.first_chunk().map(|header| u32::from_ne_bytes(*header) as usize)
}

/// Appends to a batch what `write` appends. Returns the length of the item.
#[inline]
pub(crate) fn append<E>(batch: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<usize, E> {
    let start = batch.len();
    batch.extend_from_slice(&[0; HEADER_BYTES]);
    write(batch)?;
    let len = batch.len() - start - HEADER_BYTES;
    batch[start..start + HEADER_BYTES].copy_from_slice(&(len as u32).to_ne_bytes());
    Ok(len)
}

/// Returns a batch of these items.
#[cfg(test)]
pub(crate) fn batch_of(items: &[Vec<u8>]) -> Vec<u8> {
    let mut batch = Vec::new();
    for item in items {
        let write = |batch: &mut Vec<u8>| {
            batch.extend(item);
            Ok::<_, std::convert::Infallible>(())
        };
        append(&mut batch, write).expect("it cannot fail");
    }
    batch
}
