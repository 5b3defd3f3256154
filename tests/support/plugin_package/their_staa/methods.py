from torch.nn import functional

from staa_cli.methods import Method, MethodInputs, MethodOutput


class Brightness(Method):
    """How far from gray a token's pixels are."""

    summary = "how far from gray the pixels are"
    source = "a package of the tests"
    units = "mean size of normalized pixels"

    def attribute(self, method_inputs: MethodInputs) -> MethodOutput:
        pixels = method_inputs.inputs.float().abs().mean(dim=2)  # [B, T, H, W]
        return MethodOutput(functional.adaptive_avg_pool3d(pixels, method_inputs.layout.grid))
