"""IGPN: an instance guided proposal network for person search (Dong et al., CVPR 2020).

scene -> C4 backbone (part I) -> x ─┐
                                    ├─ cross-correlation -> Siamese RPN -> proposals
query patch -> part I -> max pool -> z ─┘
x, proposals -> RoI pooling -> part II (res5 with stride 1) -> f^p;   z -> part II -> f^q
(f^p - f^q)^2 -> r^1 -> local relation block -> r^2 -> similarity, box;   mean r^2 -> is the query in the scene?
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.rnn import pad_sequence
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import roi_pool

from psbench.pairwise import PairwisePredictions
from psbench.zoo.igpn_encoded import EncodedQueries, EncodedScene
from psbench.zoo.igpn_options import IGPNOptions
from psbench.zoo.images import to_float
from psbench.zoo.inputs import check_boxes, check_inputs, check_pairs
from psbench.zoo.interface import Found, Unit, inference
from psbench.zoo.layers.backbone import split_backbone
from psbench.zoo.layers.c4 import STRIDE, C4Trunk, Encoded
from psbench.zoo.layers.correlation import ICCL, VCCL, CrossCorrelation
from psbench.zoo.layers.faster_rcnn import (
    box_regression_loss,
    decode_boxes,
    sample_rois,
    to_original_pixels,
)
from psbench.zoo.layers.patches import query_patch
from psbench.zoo.layers.precision import full, in_full_precision
from psbench.zoo.layers.relations import Judged, LocalRelations, RelationFeatures, RelationHeads
from psbench.zoo.layers.siamese_rpn import ResponseHead, SiameseRPN, only
from psbench.zoo.layers.suppression import keep_detections


class IGPN(C4Trunk):
    """A Faster R-CNN that proposes boxes for one query."""

    options_type = IGPNOptions
    options: IGPNOptions
    trains_on = "pairs"

    def __init__(self, num_identities: int, options: IGPNOptions | None = None) -> None:
        """Build the network.

        Args:
            num_identities: K, labelled identities of the training split, of which queries are.
            options: see `IGPNOptions`.
        """
        o = options or IGPNOptions()
        backbone, part2 = split_backbone(o.backbone, pretrained=o.pretrained, last_stride=1)
        super().__init__(num_identities, o, backbone)
        self.num_identities = num_identities
        self.part2 = part2
        self.sim = self._branch(2 * o.anchors_per_location)
        self.reg = self._branch(4 * o.anchors_per_location)
        self.rpn = SiameseRPN.of(
            o,
            ResponseHead(o.anchors_per_location),
            positive_iou=o.rpn_positive_iou,
            negative_iou=o.rpn_negative_iou,
            positive_share=o.rpn_positive_share,
            nms_thresh=o.rpn_nms_thresh,
        )
        self.rpn.proposal_matcher.allow_low_quality_matches = o.rpn_low_quality_matches
        dim = part2.channels["res5"]
        self.relation = RelationFeatures(dim, o.relation_width)
        self.local = LocalRelations(dim, o.local_width, norm=o.local_norm) if o.local_relations else None
        self.head = RelationHeads(dim, search=o.global_branch)
        if o.freeze_norms:
            for norm in self._norms():
                norm.requires_grad_(False).eval()

    def _branch(self, outputs: int) -> CrossCorrelation:
        o = self.options
        channels, width = self.backbone.channels, o.correlation_width
        how: dict[str, Any] = {
            "padding": o.kernel_margin,
            "phi_size": o.phi_size,
            "phi_relu": o.phi_relu,
            "response_scale": o.response_scale,
        }
        if o.correlation == "vccl":
            return VCCL(channels, width, outputs, **how)
        return ICCL(channels, width, outputs, o.grid, shared=o.shared_kernel, **how)

    def forward(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """The training losses (equation 7).

        Args:
            images: (3, H, W) in [0, 1], RGB, the scenes that are searched.
            targets: of each, `boxes` (n, 4) in pixels and `person_ids` (n,) int64, -1 without identity; and whom to
                search for: `query_patch` (3, h, w) of the size in the options, uint8 or in [0, 1], and `query_id` ()
                int64, 0..K-1. It is in the scene if it is one of the person_ids.

        Raises:
            InputError: see `check_inputs` and `check_pairs`.
        """
        self.check(images, targets)
        check_pairs(targets, self.options.query_size, images[0].device, num_identities=self.num_identities)
        encoded = self.encode_checked(images, targets)
        ignore = self.options.rpn_negatives == "background"
        wanted = [only(target, ignore_others=ignore) for target in encoded.targets]
        x = encoded.features
        patches = [t["query_patch"] for t in targets]
        z, part2_z = self._query_maps(torch.stack([p if p.is_floating_point() else to_float(p) for p in patches]))
        proposals, rpn_losses = self.rpn.propose(encoded.batch, self.sim(x, z), self.reg(x, z), wanted)

        rois = sample_rois(proposals, wanted, self.options)
        judged = self._judge(self._pool(x, rois.boxes), self._appearance(part2_z), [len(b) for b in rois.boxes])
        losses = {
            "loss_rpn_sim": rpn_losses["loss_objectness"],
            "loss_rpn_reg": rpn_losses["loss_rpn_box_reg"],
            "loss_sim": _cross_entropy(judged.similarity[judged.valid], rois.is_person),
            "loss_reg": box_regression_loss(judged.deltas[judged.valid], rois),
        }
        if judged.search is not None:
            present = torch.tensor([len(target["boxes"]) > 0 for target in wanted], device=x.device)
            losses["loss_search"] = _cross_entropy(judged.search, present)
        return losses

    @inference
    def search(
        self, query: tuple[Tensor, Tensor], scenes: Sequence[Tensor], *, names: Sequence[str] | None = None
    ) -> PairwisePredictions:
        """Where one query is found in scenes.

        Args:
            query: an image (3, H, W) in [0, 1] and the person's box (4,) in it, pixels.
            scenes: images likewise.
            names: of the scenes; their numbers by default.

        Returns:
            One pair a scene, in the order given.
        """
        image, box = query
        queries = self.encode_queries([image], [box[None]])
        found = [self.search_encoded(queries, self.encode_scenes([scene])[0])[0] for scene in scenes]
        return PairwisePredictions.from_arrays(
            [str(i) for i in range(len(scenes))] if names is None else names,
            queries=[0] * len(found),
            scenes=range(len(found)),
            counts=[len(f.boxes) for f in found],
            boxes=torch.cat([box.new_zeros(0, 4), *(f.boxes for f in found)]).float().cpu(),
            similarities=torch.cat([box.new_zeros(0), *(f.similarities for f in found)]).float().cpu(),
            num_queries=1,
            method="igpn",
        )

    @inference
    def encode_queries(self, images: list[Tensor], boxes: list[Tensor]) -> EncodedQueries:
        """What is needed of people to search scenes for them.

        Args:
            images: (3, H, W) in [0, 1] each.
            boxes: (n, 4) an image, pixels; what leaves the image is zero.

        Returns:
            Of all boxes, image after image.
        """
        check_inputs(images)
        check_boxes(boxes, images)
        o = self.options
        patches = [
            query_patch(image, box, o.query_size, o.query_padding)
            for image, of_image in zip(images, boxes, strict=True)
            for box in of_image
        ]
        return self._encode_patches(torch.stack(patches) if patches else images[0].new_zeros(0, 3, *o.query_size))

    @inference
    def encode_scenes(self, images: list[Tensor]) -> list[EncodedScene]:
        """What is needed of scenes (3, H, W) in [0, 1] to search them, whatever for.

        Only scenes of equal size run together: no padding but its own has a say in what is found in one.
        """
        self.check(images)
        numbers: dict[torch.Size, list[int]] = {}
        for i, image in enumerate(images):
            numbers.setdefault(image.shape, []).append(i)
        scenes: dict[int, EncodedScene] = {}
        for alike in numbers.values():
            encoded = self.encode_checked([images[i] for i in alike])
            scenes |= {i: self._encoded_scene(encoded, row) for row, i in enumerate(alike)}
        return [scenes[i] for i in range(len(images))]

    @inference
    def search_encoded(self, queries: EncodedQueries, scene: EncodedScene) -> list[Found]:
        """What is found of each query in a scene; all of them run as one batch.

        A scene in which nothing is proposed gives no boxes; what the global branch then says comes from no proposal.
        """
        return self.judge(queries, scene, self.propose(queries, scene))

    @inference
    def propose(self, queries: EncodedQueries, scene: EncodedScene) -> list[Tensor]:
        """The first stage: proposals (r, 4) a query, pixels of the resized scene."""
        n = len(queries)
        images = ImageList(torch.empty(1).expand(n, 3, *scene.padded_size), [scene.size] * n)
        response = self.sim.respond(scene.sim, queries.sim), self.reg.respond(scene.reg, queries.reg)
        return self.rpn.propose(images, *response)[0] if n else []

    @inference
    def judge(self, queries: EncodedQueries, scene: EncodedScene, proposals: list[Tensor]) -> list[Found]:
        """The second stage: similarity and final box of each query's proposals, and what overlaps suppressed."""
        if not proposals:
            return []
        o, sizes = self.options, [scene.size] * len(proposals)
        counts = [len(boxes) for boxes in proposals]
        judged = self._judge(self._pool(scene.features, [torch.cat(proposals)]), queries.features, counts)
        moved = decode_boxes(judged.deltas[judged.valid], proposals, sizes)
        similarities = judged.similarity.softmax(dim=-1)[judged.valid][:, 1].split(counts)
        targets = [None] * len(queries) if judged.search is None else judged.search.softmax(dim=-1)[:, 1]
        found = []
        for boxes, similarity, target in zip(moved, similarities, targets, strict=True):
            kept = keep_detections(boxes, similarity, o, nms_thresh=o.nms_thresh_test)
            boxes = to_original_pixels(boxes[kept], scene.size, scene.original_size)
            found.append(Found(boxes, similarity[kept], target))
        return found

    def walk(self, image: Tensor) -> Iterator[Unit]:
        """See `ZooModel`."""
        scene = self._encoded_scene(self.encode([image]), 0)
        yield "image"
        queries = self._encode_patches(image.new_zeros(1, 3, *self.options.query_size))
        yield "query"
        self.sim.respond(scene.sim, queries.sim)
        self.reg.respond(scene.reg, queries.reg)
        yield "pair"
        self._judge(self._pool(scene.features, [image.new_zeros(1, 4)]), queries.features, [1])
        yield "RoI"

    def preprocessing(self) -> dict[str, Any]:
        """See `ZooModel`."""
        o = self.options
        return super().preprocessing() | {"query_size": list(o.query_size), "query_padding": o.query_padding}

    def train(self, mode: bool = True) -> Self:
        """Frozen batch norms stay in evaluation."""
        super().train(mode)
        if self.options.freeze_norms:
            for norm in self._norms():
                norm.eval()
        return self

    def _norms(self) -> list[nn.Module]:
        """Of the backbone; there are no others."""
        return [module for module in self.modules() if isinstance(module, _BatchNorm)]

    def _query_maps(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 3, h, w) in [0, 1] to the maps that kernels and f^q are made of."""
        z = self.backbone(self.transform.normalize(patches.to(self.dtype)))
        pooled = F.max_pool2d(z, 2)
        return pooled if self.options.pool_kernels else z, pooled if self.options.pool_feature else z

    def _encode_patches(self, patches: Tensor) -> EncodedQueries:
        z, part2_z = self._query_maps(patches)
        return EncodedQueries(self.sim.of_query(z), self.reg.of_query(z), self._appearance(part2_z))

    def _encoded_scene(self, encoded: Encoded, row: int) -> EncodedScene:
        x = encoded.features[row : row + 1]
        height, width = encoded.batch.tensors.shape[-2:]
        return EncodedScene(
            features=x,
            sim=self.sim.of_scene(x),
            reg=self.reg.of_scene(x),
            size=encoded.sizes[row],
            padded_size=(height, width),
            original_size=encoded.original_sizes[row],
        )

    def _pool(self, x: Tensor, boxes: list[Tensor]) -> Tensor:
        """f^p: (R, C5) of boxes (r, 4) an image."""
        return self._appearance(roi_pool(full(x), boxes, self.options.roi_size, spatial_scale=1 / STRIDE))

    def _appearance(self, maps: Tensor) -> Tensor:
        """Part II and global average pooling: (n, C4, h, w) to (n, C5)."""
        return full(self.part2.maps(maps)["res5"]).mean(dim=(2, 3))

    def _judge(self, proposals: Tensor, queries: Tensor, counts: list[int]) -> Judged:
        """The second stage on f^p (R, C5) of B pairs, so many each, and f^q (B, C5)."""
        # Affinities are exponentials of long scalar products.
        with in_full_precision(proposals):
            of_pair = pad_sequence(list(proposals.split(counts)), batch_first=True)
            numbers = torch.arange(of_pair.shape[1], device=proposals.device)
            valid = numbers < torch.tensor(counts, device=proposals.device)[:, None]
            relations = self.relation(of_pair, queries[:, None])
            if self.local is not None:
                relations = self.local(of_pair, relations, valid)
            return self.head(relations, valid)


def _cross_entropy(logits: Tensor, is_target: Tensor) -> Tensor:
    """The mean over logits (n, 2); zero without any, as of negative pairs for which nothing was proposed."""
    return F.cross_entropy(logits, is_target.long(), reduction="sum") / max(len(logits), 1)
