"""What is shown in place of an identity."""

from medimg_cli.privacy.forms.names import mask, mask_identities


def test_letters_and_digits_are_hidden_and_the_form_stays() -> None:
    assert mask("Ünal^Jo 1980-02-03") == "xxxx^xx ####-##-##"


def test_the_word_that_holds_an_identity_is_hidden_and_no_other() -> None:
    assert mask_identities("sick/DOE^JANE_left_20210203.png") == "sick/xxx^xxxx_xxxx_########.png"
    assert mask_identities("a/Roe_Jim_2021-02-03/left.png: broken") == "a/xxx_xxx_####-##-##/left.png: broken"
    assert mask_identities("20210203.Jane") == "########.xxxx"
    assert mask_identities("KeyError: 'no DOE^JANE'") == "KeyError: 'no xxx^xxxx'"
    assert mask_identities("471123.tar.gz") == "######.tar.gz"
    assert mask_identities("sick/person12_3.png") == "sick/person12_3.png"
    assert mask_identities("") == ""
