//! Sending images, and installing them.

use mainstay_wal::{Epoch, LogId};

use super::{Transfer, World};
use crate::error::Error;

impl World {
    pub(super) fn begin_image(&mut self, node: usize, from: usize, epoch: Epoch) {
        if self.nodes[node].image.is_some() {
            return;
        }
        let stream = match self.nodes[from].replica.image_stream() {
            Ok(stream) => stream,
            Err(error) => {
                self.settle(from, Err(error));
                return;
            }
        };
        let begun = self.nodes[node].replica.begin_install();
        let begun = begun.map(|builder| {
            self.nodes[node].image = Some(Transfer { from, epoch, stream, builder });
        });
        self.settle(node, begun);
    }

    pub(super) fn chunks(&mut self, node: usize, count: usize) {
        for _ in 0..count {
            let Some(mut transfer) = self.nodes[node].image.take() else { return };
            let Transfer { from, epoch, stream, builder } = &mut transfer;
            // Whoever is no primary any more may have another log by now.
            if self.leads(*from) != Some(*epoch) || self.leads(node).is_some() {
                return;
            }
            let chunk = match stream.next_chunk() {
                Ok(chunk) => chunk,
                Err(error) => {
                    self.settle(*from, Err(error));
                    return;
                }
            };
            let Some(chunk) = chunk else { return self.install(node, transfer) };
            let taken = builder.take(&chunk);
            if self.settle(node, taken) {
                self.nodes[node].image = Some(transfer);
            }
        }
    }

    fn install(&mut self, number: usize, transfer: Transfer) {
        let Transfer { from, epoch, builder, .. } = transfer;
        let node = &mut self.nodes[number];
        let promised = node.replica.manifest().promised_epoch;
        let before = std::mem::replace(&mut node.acknowledged, LogId::ZERO);
        match node.replica.install(builder) {
            Ok(end) => {
                self.images += 1;
                assert_eq!(self.model.committed_at(end.lsn), end, "the image's end");
                let node = &mut self.nodes[number];
                assert_eq!(node.replica.log().end(), end);
                node.following = (promised == epoch).then_some((from, epoch));
            }
            // It has come further by other ways meanwhile.
            Err(Error::Backup { .. }) => node.acknowledged = before,
            Err(error) => drop(self.settle(number, Err(error))),
        }
    }
}
