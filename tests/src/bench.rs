//! fio against vPool and its peers.
