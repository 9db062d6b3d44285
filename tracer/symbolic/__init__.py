"""Programs of symbolic variables: functions, derivatives, modes, texts and pictures of them."""
