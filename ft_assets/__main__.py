"""`python -m ft_assets`: see `ft_assets.cli`."""

import sys

from ft_assets.cli import main

sys.exit(main())
