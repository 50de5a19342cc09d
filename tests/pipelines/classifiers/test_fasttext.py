"""Tests for pipelines.classifiers.fasttext, against what fastText 0.9.2 makes and prints."""

import base64
import struct
from pathlib import Path

import numpy as np
import pytest

from pipelines.classifiers.fasttext import FastTextModel, is_model
from pipelines.errors import ArtifactError

# A skip-gram model of 8 words and </s>, dim=3 minn=2 maxn=4 bucket=29, as save_model() wrote it.
MODEL = base64.b85decode(
    r"x)x6_3;+NC0{{R31poj5JOBUy0RR911poj50RR910ssI20ssI29RL6T0ssI21ONa4WB>pFEkhjZ;x-yT2><{92><{900"
    r"0003<CfF00000|NsC0|NsC0XL4m>bO34q000000002#t(pK`0000000000bZBJ&TmS$7000000Az1x09pV500000003@"
    r"b!>@K_09OD200000004JrX>?@(R{#J200000077+h09F71000000047nVRCB#PXGV_0000006Z^qJ^(xb0000000000C"
    r"IA2c000000{{R300000L(Mh5w^<xN{be`4K|$m_CZ#(+aU%6RSx8JiY*nT_nVEe)GW*v)Pl44w8VKM#7$^`udcY(;gVB"
    r"~fp_{!upR?~i+6EOpC$2HNyl@*m8U-D_-_UG5^<Zm0v&W0PNeeqZBV}+u<E@#xMA+gz7r*X48VKM#p_{!upR?~i+6EOp"
    r"@;OjGQaNuwbA^IEtnMp5)$Th#$;susqorX!*l~<MG3*sSK-gkF2ET4U5C~vBf8M-3$8EVjG{9fIeW<HGFej`(jM9$1jZ"
    r"bbq74Ky~f)Tnswe=D{{Ny!1;V*%`&d+#0=tY%3<0)i4B=<@_<Oef9B86i;ITC0-d2?_-)DQJN75T0{dRfjt5h^r2cejc"
    r"@1LmDS?|d}9V@HcV-}i(+=U~-5p_{!upR?~i+6EOp29zZ}xN0>&NU@W>VM#<j!Cg^5xMYJpcznJ+w-CraD8FYt^bLtV*"
    r"xiLc$>JM57$^`udcY(;gVB~f&d+#0=tY%3<0)i4lAlmLxh!}-O|#3r#*Ae?`LvKf*Pnj8@xV7e>J<_{o>?ipxgNVdOcS"
    r"j?1C-J|EC@tCVnatit9(2?o`s1%4zz+l&azKF00{s90000000RI30000000024zF&^ezo^8Cy$FomzSIBkzr)puz4d>m"
    r"zCD$~zxLRUy*OvszKogOzu4nVy*}r&zTHQ_ziu}Ly~}3bzS3I%zY{VHy?a=yzLMn1zZ0hqy|SjBzIW5KzkH^%yz79KzR"
    r"wh|zjdOkI{"
)
# What get_word_vector() prints for words of the model, and for words that are not in it.
KNOWN = {
    "shark": [0.2199374, 0.9212441, 0.0071283],
    "naïve": [0.2313395, 0.9645331, 0.0782754],
    "魚": [0.2320993, 0.9236504, 0.037114],
    "Bus": [0.2056443, 0.9522073, 0.0171966],
    "</s>": [0.1826602, 0.9390432, -0.0011725],
}
COMPOSED = {
    "sharks": [0.2061109, 0.9049493, -0.0027961],
    "naïf": [0.2207543, 0.9115682, 0.0488196],
    "魚魚": [0.2278537, 0.9210278, 0.0247807],
    "Ωmega": [0.2090691, 0.909241, 0.0194056],
    "a": [0.1723912, 0.6891012, 0.0644833],
    "🦈x": [0.16692, 0.7357745, 0.0015972],
    "é": [0.1116136, 0.4741202, -0.0299776],
}
SETTINGS_END, COUNTS_END = 8 + 56, 8 + 56 + 28
MAXN_AT = 8 + 10 * 4
QUANTISED_AT = MODEL.index(struct.pack("<2q", 9 + 29, 3)) - 1


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return the model as a file."""
    path = tmp_path / "tiny.bin"
    path.write_bytes(MODEL)
    return path


def test_known_words_are_means_of_their_row_and_their_ngrams(model: Path) -> None:
    """Words of the model get fastText's vectors, </s> and those beyond ASCII too; others none."""
    found = FastTextModel.open(model).known([*KNOWN, *COMPOSED])
    assert found.keys() == KNOWN.keys()
    for word, vector in KNOWN.items():
        np.testing.assert_allclose(found[word], vector, atol=1e-6, err_msg=word)


@pytest.mark.parametrize("word", COMPOSED)
def test_other_words_are_composed_of_ngrams(model: Path, word: str) -> None:
    """A word that training never met gets the mean of its n-grams, as in fastText."""
    np.testing.assert_allclose(FastTextModel.open(model).composed(word), COMPOSED[word], atol=1e-6)


def test_model_without_ngrams_composes_nothing(tmp_path: Path) -> None:
    """With maxn = 0 a word is its row, and an unknown one has no vector."""
    data = bytearray(MODEL)
    struct.pack_into("<3i", data, MAXN_AT - 8, 0, 0, 0)  # bucket, minn, maxn
    rows = np.frombuffer(MODEL, "<f4", 9 * 3, QUANTISED_AT + 17).reshape(9, 3)
    data[QUANTISED_AT:] = struct.pack("<?2q", False, 9, 3) + rows.tobytes()
    (tmp_path / "words.bin").write_bytes(data)

    model = FastTextModel.open(tmp_path / "words.bin")

    np.testing.assert_array_equal(model.known(["great"])["great"], rows[0])
    assert model.composed("greatest") is None


def test_pytorch_files_are_not_models(tmp_path: Path, model: Path) -> None:
    """The first bytes tell fastText's .bin from others, and a missing file is not a model."""
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK\x03\x04")
    assert is_model(model)
    assert not is_model(tmp_path / "pytorch_model.bin")
    assert not is_model(tmp_path / "none.bin")
    assert not is_model(tmp_path)


def test_quantised_models_are_refused(model: Path) -> None:
    """What a quantised model has left is not taken for vectors; its origin is asked for."""
    data = bytearray(MODEL)
    data[QUANTISED_AT] = 1
    model.write_bytes(data)
    with pytest.raises(ArtifactError, match=r"quantised fastText model[^\0]*full model \(\.bin\)"):
        FastTextModel.open(model)


def test_other_versions_are_refused(model: Path) -> None:
    """The version found and the one known are both said."""
    model.write_bytes(MODEL[:4] + struct.pack("<i", 11) + MODEL[8:])
    with pytest.raises(ArtifactError, match="of version 11; only 12 is known"):
        FastTextModel.open(model)


@pytest.mark.parametrize(
    "kept", [4, 30, SETTINGS_END + 3, COUNTS_END + 20, QUANTISED_AT + 5, QUANTISED_AT + 17 + 455]
)
def test_truncated_models_are_refused(model: Path, kept: int) -> None:
    """Wherever the file breaks off before the last vector, it is said not to be complete."""
    model.write_bytes(MODEL[:kept])
    with pytest.raises(ArtifactError, match="not a complete fastText model"):
        FastTextModel.open(model)


def test_non_finite_vectors_are_refused(model: Path) -> None:
    """A NaN in a vector that is needed is found when it is read."""
    data = bytearray(MODEL)
    struct.pack_into("<f", data, QUANTISED_AT + 17, float("nan"))  # of the first word
    model.write_bytes(data)
    with pytest.raises(ArtifactError, match="not finite"):
        FastTextModel.open(model).known(["great"])
