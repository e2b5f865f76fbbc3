"""GLCNet: SeqNet whose embeddings know their surroundings (Zheng et al., arXiv 2021, ICASSP 2023), as it was released.

image -> C4 backbone -> SeqNet: RPN, stage 1, stage 2's RoIs -> res4, res5 -+
                     -> scene context: the whole map as one vector ---------+-> norm-aware embedding, 512
        (people's res5 -> group context: their mean as one vector -> -------+-> an option, 640)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import torch
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from psbench.zoo.interface import Unit, inference
from psbench.zoo.layers.c4 import Encoded, after_known
from psbench.zoo.layers.context import GroupContext, SceneContext, group_means, inside_images
from psbench.zoo.layers.norm_aware import NormAwareEmbedding
from psbench.zoo.seqnet import SeqNet, SeqNetOptions


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class GLCNetOptions(SeqNetOptions):
    """GLCNet's options; the defaults are those of the released weights on CUHK-SYSU.

    Attributes:
        scene: embed the scene with each person.
        group: embed the people around with each person.
        mask_padding: keep the padding of a batch out of the scene's vector; the original lets it in.
        embedding_dim: D; it follows from the rest (the sum of `dims`) and need not be given.
    """

    scene: bool = True
    group: bool = False
    mask_padding: bool = False
    embedding_dim: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _sum_up(self) -> GLCNetOptions:
        total = sum(self.dims.values())
        if self.embedding_dim not in (0, total):
            raise ValueError(f"the parts of this embedding ({', '.join(self.dims)}) have {total} coordinates together")
        object.__setattr__(self, "embedding_dim", total)
        return self

    @property
    def dims(self) -> dict[str, int]:
        """Lengths of the projections by name, in the order in which the embedding joins them."""
        return {"res4": 256, "res5": 128} | {name: 128 for name in ("scene", "group") if getattr(self, name)}


class GLCNet(SeqNet):
    """SeqNet, and in stage 2 a vector of the scene, on request also one of the group, with every person's own."""

    options_type = GLCNetOptions
    options: GLCNetOptions
    scene_extractor: ClassVar[type[nn.Module]] = SceneContext
    eps: ClassVar[float] = 1e-5
    """Of the batch norms that SeqNet's backbone does not have."""
    min_norm: ClassVar[float] = 1e-12
    """See `NormAwareEmbedding`."""

    def __init__(self, num_identities: int, options: GLCNetOptions | None = None) -> None:
        """Build the network.

        Args:
            num_identities: K, labelled identities of the training split.
            options: see `GLCNetOptions`.
        """
        super().__init__(num_identities, options or self.options_type())
        c4, c5 = (self.reid_head.channels[name] for name in ("res4", "res5"))
        if self.options.scene:
            self.scene_context = self.scene_extractor(c4, eps=self.eps)
        if self.options.group:
            self.group_context = GroupContext(c5, eps=self.eps)
        channels = {name: c4 if name in ("res4", "scene") else c5 for name in self.options.dims}
        self.embedding = NormAwareEmbedding(channels, self.options.dims, eps=self.eps, min_norm=self.min_norm)

    def walk_heads(self, encoded: Encoded, roi: list[Tensor]) -> Iterator[Unit]:
        """See `C4Searcher`; contexts are made once an image."""
        contexts = {}
        if self.options.scene:
            contexts["scene"] = self.scene_context(encoded.features)
        if self.options.group:
            contexts["group"] = self.group_context(encoded.features.new_zeros(1, self.reid_head.channels["res5"]))
        yield "image"
        yield from self.walk_stages(encoded, roi, contexts)

    def features(self, encoded: Encoded, boxes: list[Tensor], is_person: Tensor | None = None) -> dict[str, Tensor]:
        """SeqNet's, and with each box the context of its image."""
        vectors = self.describe(self.pool(encoded, boxes))
        counts = [len(b) for b in boxes]
        if is_person is None:
            is_person = torch.ones(sum(counts), dtype=torch.bool, device=encoded.features.device)
        contexts = self.contexts(encoded, vectors["res5"], is_person, counts)
        repeats = torch.tensor(counts, device=encoded.features.device)
        return vectors | {
            name: context.repeat_interleave(repeats, dim=0, output_size=sum(counts))
            for name, context in contexts.items()
        }

    def contexts(self, encoded: Encoded, res5: Tensor, is_person: Tensor, counts: list[int]) -> dict[str, Tensor]:
        """What surrounds the people of each image: (B, C) by the context's name.

        Args:
            encoded: the images.
            res5: (R, C5), of their boxes.
            is_person: (R,) bool, the boxes that make up the group.
            counts: boxes an image.
        """
        contexts = {}
        if self.options.scene:
            inside = inside_images(encoded) if self.options.mask_padding else None
            contexts["scene"] = self.scene_context(encoded.features, inside)
        if self.options.group:
            contexts["group"] = self.group_context(group_means(res5, is_person, counts))
        return contexts

    @inference
    def embed(self, images: list[Tensor], boxes: list[Tensor]) -> list[Tensor]:
        """Unit embeddings of given boxes, see `PersonSearcher`.

        The group around them is what the detector finds in their image, in which the given boxes have no part; where it
        finds nothing, it is the given boxes themselves.
        """
        if not self.options.group:
            return super().embed(images, boxes)
        encoded = self.encode(images)
        given, (found, _) = encoded.resized(boxes), self.people(encoded)
        both, is_found = after_known(given, found)
        embeddings, _ = self.embedding(self.features(encoded, both, is_found))
        return list(embeddings[~is_found].split([len(g) for g in given]))
