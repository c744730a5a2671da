"""What is shown in place of an identity."""

from medimg_cli.privacy.masking import mask, mask_identities


def test_letters_and_digits_are_hidden_and_the_form_stays() -> None:
    assert mask("Ünal^Jo 1980-02-03") == "xxxx^xx ####-##-##"


def test_only_the_identity_in_a_text_is_hidden() -> None:
    assert mask_identities("sick/DOE^JANE_left_20210203.png") == "sick/xxx^xxxx_left_########.png"
    assert mask_identities("sick/person12_3.png") == "sick/person12_3.png"
    assert mask_identities("") == ""
